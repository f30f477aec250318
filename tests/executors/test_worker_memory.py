"""A worker keeps freed memory while it trains, and gives it back between trials."""

import json
import subprocess
import sys

import pytest

BLOCKS = """
import json, resource
from ecoautoml.executors import worker

def faults_of_a_step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(8_000_000) for _ in range(4)]  # activations of one training step
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_mb():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1e3

plain = [faults_of_a_step() for _ in range(3)]
worker._keep_freed_memory()
kept = [faults_of_a_step() for _ in range(3)]
held_mb = resident_mb()
worker._give_back_memory()
print(json.dumps({"plain": plain, "kept": kept, "held_mb": held_mb, "left_mb": resident_mb()}))
"""


@pytest.fixture(scope="module")
def seen():
    if worker_libc() is None:
        pytest.skip("another C library than GNU's: its allocator has no such setting")
    command = [sys.executable, "-c", BLOCKS]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def worker_libc():
    from ecoautoml.executors.worker import _libc

    return _libc("mallopt")


def test_the_second_step_takes_no_memory_from_the_system_anew(seen):
    assert min(seen["plain"]) > 1000  # 32 MB in pages of at most 16 KiB
    assert max(seen["kept"][1:]) < 100


def test_what_was_freed_is_given_back_between_trials(seen):
    assert seen["left_mb"] < seen["held_mb"] - 25

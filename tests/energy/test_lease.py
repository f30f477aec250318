"""One measurement per device, across real processes."""

import signal
import subprocess
import sys
import time

import pytest

from ecoautoml.energy.lease import DeviceLease, lease_path
from ecoautoml.errors import MeterError

HOLD = """
import sys, time
from pathlib import Path
from ecoautoml.energy.lease import DeviceLease
with DeviceLease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds the lease of the path it is given; end it after the test."""
    path = tmp_path / "device.lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process, path
    process.kill()
    process.stdout.close()
    process.wait()


def test_a_lease_held_elsewhere_is_waited_for_until_the_limit(holder):
    _, path = holder
    with pytest.raises(MeterError, match=r"after 0\.1 s"), DeviceLease(path, timeout_s=0.1):
        pass


def test_a_killed_holder_frees_it(holder):
    process, path = holder
    process.send_signal(signal.SIGKILL)
    started = time.monotonic()
    with DeviceLease(path, timeout_s=5.0):
        assert time.monotonic() - started < 2.0


def test_it_can_be_taken_again_after_the_block_and_after_an_error(tmp_path):
    path = tmp_path / "device.lock"
    for _ in range(2):
        with pytest.raises(KeyError), DeviceLease(path, timeout_s=0.1):
            raise KeyError
    with DeviceLease(path, timeout_s=0.1):
        pass


def test_two_devices_do_not_wait_for_each_other(tmp_path):
    with DeviceLease(tmp_path / "a.lock"), DeviceLease(tmp_path / "b.lock", timeout_s=0.1):
        assert {path.name for path in tmp_path.iterdir()} >= {"a.lock", "b.lock"}


def test_a_link_in_the_way_is_not_followed(tmp_path):
    (tmp_path / "device.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), DeviceLease(tmp_path / "device.lock", timeout_s=0.1):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_each_device_has_a_file_of_its_own():
    paths = {lease_path(device) for device in ("cpu", "cuda:0", "cuda:1", "gpu:GPU-a/b")}
    assert len(paths) == 4
    assert all(path.parent.is_dir() for path in paths)

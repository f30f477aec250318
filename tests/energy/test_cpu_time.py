"""CPU seconds of process trees, from real processes."""

import os
import subprocess
import sys
import time

import pytest
from energy_fakes import FakeProc

from ecoautoml.energy.base import Scope
from ecoautoml.energy.counters.processes import TICK_S, ProcessTree
from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.cpu.cpu_watts import FALLBACK, TABLE, usable_threads, watts_for
from ecoautoml.records.calibration import Calibration
from ecoautoml.records.energy_reading import Provenance

BURN = """
import time
end = time.process_time() + {seconds}
while time.process_time() < end: pass
"""


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def child(seconds, then=""):
    return subprocess.Popen(
        [sys.executable, "-S", "-c", BURN.format(seconds=seconds) + then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def finish(process):
    process.stdin.close()
    process.stdout.close()
    process.wait()


def joules(meter, before, pid=None):
    (reading,) = meter.readings_between(before, meter.read(pid))
    return reading.energy_j


def test_own_cpu_seconds_are_billed_at_the_stated_watts():
    meter = CpuTimeMeter(10.0)
    before, started = meter.read(), time.process_time()
    burn(0.05)
    (reading,) = meter.readings_between(before, meter.read())
    used_s = time.process_time() - started
    assert 0.5 <= reading.energy_j <= 10.0 * used_s
    assert reading.provenance is Provenance.ESTIMATED
    assert reading.source == "cpu_time:10 W/thread"
    assert reading.relative_uncertainty == 1.0


def test_sleeping_costs_next_to_nothing():
    meter = CpuTimeMeter(10.0)
    before = meter.read()
    time.sleep(0.1)
    assert joules(meter, before) < 0.2


def test_short_lived_children_are_all_counted():
    """Sampling loses them: 0.12 J reported for 24.5 J in CodeCarbon's process mode."""
    meter = CpuTimeMeter(1.0)
    before = meter.read()
    for _ in range(4):
        finish(child(0.05))
    assert joules(meter, before) >= 4 * 0.05


def test_a_living_child_counts_and_its_end_does_not_count_it_again():
    meter = CpuTimeMeter(1.0)
    before = meter.read()
    worker = child(0.1, "print('done', flush=True); input()")
    worker.stdout.readline()
    alive_j = joules(meter, before)
    finish_input(worker)
    ended_j = joules(meter, before)
    assert alive_j >= 0.1 - 4 * TICK_S
    assert alive_j <= ended_j <= alive_j + 0.1


def finish_input(process):
    process.stdin.write(b"\n")
    process.stdin.flush()
    finish(process)


def test_another_process_and_its_children_can_be_read_from_outside():
    meter = CpuTimeMeter(1.0)
    grandchild = "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {code!r}])"
    worker = child(
        0.05,
        grandchild.format(code=BURN.format(seconds=0.05)) + "; print('done', flush=True); input()",
    )
    before = meter.read(worker.pid)
    worker.stdout.readline()
    total_j = meter.read(worker.pid)[0].energy_j
    assert total_j >= 0.1 - 4 * TICK_S
    assert meter.read(worker.pid)[0].energy_j >= before[0].energy_j
    finish_input(worker)


def test_a_crashed_process_can_be_read_until_it_is_waited_for_and_is_unknown_after():
    meter = CpuTimeMeter(1.0)
    worker = child(0.05, "import os; os.abort()")
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert meter.read(worker.pid)[0].energy_j >= 0.05 - 2 * TICK_S
    finish(worker)
    (reading,) = meter.read(worker.pid)
    assert reading.energy_j is None
    assert "has ended" in reading.reason


def test_a_child_that_drops_out_of_the_tree_does_not_make_the_sum_fall(tmp_path):
    proc = FakeProc(tmp_path / "proc")
    tree = ProcessTree(proc.root)
    proc.process(70, own_s=1.0)
    proc.process(71, parent=70, own_s=2.0)
    assert tree.cpu_s(70) == pytest.approx(3.0)
    proc.end(71)  # nobody waited for it: the kernel adds its time to no one
    assert tree.cpu_s(70) == pytest.approx(3.0)
    proc.process(70, own_s=3.5)
    assert tree.cpu_s(70) == pytest.approx(3.5)


def test_a_child_waited_for_moves_to_its_parent_without_a_jump(tmp_path):
    proc = FakeProc(tmp_path / "proc")
    tree = ProcessTree(proc.root)
    proc.process(70, own_s=1.0)
    proc.process(71, parent=70, own_s=2.0)
    tree.cpu_s(70)
    proc.end(71)
    proc.process(70, own_s=1.0, children_s=2.0)
    assert tree.cpu_s(70) == pytest.approx(3.0)


def test_a_process_number_used_again_is_another_process(tmp_path):
    proc = FakeProc(tmp_path / "proc")
    tree = ProcessTree(proc.root)
    proc.process(70, own_s=9.0, started=5)
    tree.cpu_s(70)
    proc.process(70, own_s=1.0, started=6)
    assert tree.cpu_s(70) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("model", "active_w"),
    [
        ("AMD EPYC 7702P 64-Core Processor", 1.2),
        ("AMD EPYC 7B12", 1.2),
        ("AMD EPYC 7571", 1.7),
        ("Intel(R) Xeon(R) Platinum 8175M CPU @ 2.50GHz", 3.6),
        ("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", 3.0),
        ("Intel(R) Xeon(R) Processor", 2.8),
        ("Some new processor", 2.8),
        (None, 2.8),
    ],
)
def test_watts_follow_the_processor_and_fall_back_to_the_mean(model, active_w):
    """Figures: cloud-carbon-footprint ComputeProcessorTypes.ts, maximum minus minimum."""
    assert watts_for(model).active_w == active_w


def test_every_entry_of_the_table_is_plausible():
    assert all(1.0 <= entry.active_w <= 7.0 for entry in (*TABLE, FALLBACK))


# --- whose seconds ------------------------------------------------------------------------------


@pytest.fixture
def proc(tmp_path):
    """Process 60 with the children 70 and 71; 80 is somebody else, 2 the kernel's."""
    proc = FakeProc(tmp_path / "proc")
    proc.process(2, parent=0)
    proc.process(60, own_s=1.0, children_s=0.5)
    proc.process(70, parent=60, own_s=2.0)
    proc.process(71, parent=70, own_s=4.0)
    proc.process(80, own_s=8.0, children_s=16.0)
    return proc


def test_a_process_alone_is_counted_without_what_it_started(proc):
    tree = ProcessTree(proc.root)
    assert tree.cpu_s(60, Scope.PROCESS) == pytest.approx(1.0)
    assert tree.cpu_s(60, Scope.TREE) == pytest.approx(7.5)
    with pytest.raises(ProcessLookupError, match="has ended"):
        tree.cpu_s(61, Scope.PROCESS)


def test_the_own_process_alone_is_counted_without_its_children():
    meter = CpuTimeMeter(1.0, scope=Scope.PROCESS)
    started, before = time.process_time(), meter.read()
    finish(child(0.1))
    own_j = joules(meter, before)
    assert own_j <= time.process_time() - started


def others(proc):
    tree = ProcessTree(proc.root)
    assert tree.cpu_s(60, Scope.OTHERS) == 0.0
    return lambda: tree.cpu_s(60, Scope.OTHERS)


def test_others_are_everybody_outside_the_tree_kernel_threads_included(proc):
    others_s = others(proc)
    proc.process(2, parent=0, own_s=0.25)
    proc.process(71, parent=70, own_s=100.0)
    proc.process(80, own_s=9.0, children_s=16.0)
    proc.process(81, parent=80, own_s=0.5)  # began meanwhile
    assert others_s() == pytest.approx(1.75)


def test_others_children_are_counted_once_however_they_end(proc):
    others_s = others(proc)
    proc.process(81, parent=80, own_s=2.0)
    assert others_s() == pytest.approx(2.0)
    proc.end(81)  # waited for after another second; a short one came and went beside it
    proc.process(80, own_s=8.0, children_s=16.0 + 3.0 + 0.5)
    assert others_s() == pytest.approx(3.5)


def test_others_that_nobody_waits_for_stay_counted(proc):
    """Children of a parent that ignores SIGCHLD are added to nobody: times(2)."""
    proc.process(82, parent=2, own_s=3600.0)
    others_s = others(proc)
    proc.end(82)
    assert others_s() == 0.0
    proc.process(80, own_s=8.5, children_s=16.0)
    assert others_s() == pytest.approx(0.5)


def test_one_that_drops_out_of_the_tree_counts_as_another_only_from_then_on(proc):
    others_s = others(proc)
    proc.end(70)
    proc.process(71, parent=1, own_s=4.25)
    assert others_s() == pytest.approx(0.25)


def test_a_real_stranger_is_counted_as_another_and_not_as_ours():
    """A process whose parent has ended belongs to nobody's tree: it is handed to init."""
    tree = ProcessTree()
    orphan = BURN.format(seconds=0.3) + "print('done', flush=True); input()"
    parent = (
        "import subprocess, sys; "
        f"subprocess.Popen([sys.executable, '-S', '-c', {orphan!r}], stdin=0, stdout=1)"
    )
    before_s, ours_s = tree.cpu_s(None, Scope.OTHERS), tree.cpu_s()
    started = subprocess.Popen(
        [sys.executable, "-S", "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    started.wait()
    started.stdout.readline()
    others_s, ours_s = tree.cpu_s(None, Scope.OTHERS) - before_s, tree.cpu_s() - ours_s
    finish_input(started)
    assert others_s >= 0.3 - 4 * TICK_S
    assert ours_s < others_s


# --- watts --------------------------------------------------------------------------------------


def test_idle_watts_are_stated_for_the_threads_that_can_be_used_and_can_be_given():
    assert usable_threads() == len(os.sched_getaffinity(0))
    (component, idle_w), *_ = CpuTimeMeter().idle_w.items()
    assert component == "cpu"
    thread_w = idle_w / usable_threads()
    assert any(thread_w == pytest.approx(entry.idle_w) for entry in (*TABLE, FALLBACK))
    assert CpuTimeMeter(idle_w=12.5).idle_w == {"cpu": 12.5}


def test_the_estimate_holds_no_idle_power():
    meter = CpuTimeMeter(10.0, idle_w=1000.0)
    before = meter.read()
    burn(0.02)
    (reading,) = meter.readings_between(before, meter.read())
    assert reading.net_j(meter.idle_w) == reading.energy_j


def test_a_calibration_replaces_the_table_and_its_uncertainty():
    calibration = Calibration(
        cpu_model="this one",
        threads=4,
        active_w=5.0,
        active_w_error=1.0,
        idle_w=1.5,
        idle_w_error=None,
        r_squared=0.99,
        n=9,
        meter="rapl:package-0",
        date="2026-11-21",
    )
    meter = CpuTimeMeter(calibration=calibration)
    (reading,) = meter.readings_between(meter.read(), meter.read())
    assert reading.source == "cpu_time:5 W/thread"
    assert reading.relative_uncertainty == pytest.approx(0.2)
    assert reading.provenance is Provenance.ESTIMATED
    assert meter.idle_w == {"cpu": 1.5 * usable_threads()}
    assert "calibrated against rapl:package-0" in meter.is_available().detail
    assert CpuTimeMeter(7.0, calibration=calibration).is_available().detail.startswith("7 W")

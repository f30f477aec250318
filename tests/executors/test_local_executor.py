"""What a trial can do to its worker, for real: crash, hang, eat memory; and what is left of it."""

import os
import time
from functools import partial
from pathlib import Path

import pytest
from spaces_for_tests import net_space, quick_config

from ecoautoml.config import load_config
from ecoautoml.data import prepare_data
from ecoautoml.energy.select import open_meters
from ecoautoml.errors import EcoAutoMLError
from ecoautoml.executors.local import LocalExecutor
from ecoautoml.executors.messages import LookAheadAt, ScoreOnTest, WorkerSetup
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import CONTINUE, Action, Decision, EnergyMark, Progress
from ecoautoml.records.trial_result import TrialJob, TrialResult, TrialState
from ecoautoml.spaces.dimensions import candidate
from ecoautoml.spaces.load import load_space

BEHAVIOURS = ["ok", "nan", "segfault", "hang", "spin", "memory", "memory_bit_by_bit", "raise"]


def network(behaviour: str, width: int = 8) -> Candidate:
    space = load_space(net_space(behaviour=BEHAVIOURS))
    values = {
        "width": width,
        "behaviour": behaviour,
        "learning_rate": 0.01,
        "batch_size": 32,
        "optimizer": "adamw",
    }
    return candidate(space, values)


class Script:
    """A driver that runs given candidates and keeps everything it is told."""

    def __init__(self, *candidates: Candidate, epochs: int = 2) -> None:
        self.jobs = [
            TrialJob(number=number, candidate=one, seed=number, epochs=epochs)
            for number, one in enumerate(candidates)
        ]
        self.results: dict[int, TrialResult] = {}
        self.marks: list[EnergyMark] = []
        self.reports: list[Progress] = []
        self.stop_when = lambda: None

    def ask(self) -> TrialJob | None:
        return self.jobs.pop(0) if self.jobs else None

    def report(self, progress: Progress) -> Decision:
        self.reports.append(progress)
        return CONTINUE

    def tell(self, result: TrialResult) -> None:
        assert result.number not in self.results, "told twice"
        self.results[result.number] = result

    def mark(self, *marks: EnergyMark) -> None:
        self.marks += marks

    def stop(self) -> Decision | None:
        return self.stop_when()


@pytest.fixture(scope="module")
def make_executor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("executor")
    prepared = {}

    def make(workers: int = 1, time_limit_s: float = 60.0, memory_gb: float = 6.0):
        config = load_config(quick_config(folder, training={"epochs": 2, "patience": None}))
        prepared.setdefault("data", prepare_data(config.data, folder / "data"))
        setup = WorkerSetup(
            config=config,
            prepared=prepared["data"],
            target="cpu",
            runtimes=("auto",),
            models_folder=Path(folder) / "models",
            paused_folder=Path(folder) / "paused",
            memory_bytes=round(memory_gb * 1e9),
        )
        opener = partial(open_meters, config.measure.meter, "cpu")
        return LocalExecutor(
            setup,
            workers=workers,
            time_limit_s=time_limit_s,
            open_meters=opener,
            grace_s=4.0,
        )

    return make


def test_one_trial_of_each_kind_fails_alone_with_its_reason_and_its_joules(make_executor):
    behaviours = ["ok", "segfault", "nan", "memory", "raise", "ok"]
    script = Script(*(network(behaviour) for behaviour in behaviours))
    with make_executor() as executor:
        executor.run(script)
    states = [script.results[number].state for number in range(6)]
    assert states == [
        TrialState.COMPLETE,
        TrialState.FAILED,
        TrialState.FAILED,
        TrialState.FAILED,
        TrialState.FAILED,
        TrialState.COMPLETE,
    ]
    reasons = [script.results[number].reason or "" for number in range(6)]
    assert "SIGSEGV" in reasons[1]
    assert "the loss became nan in epoch 1" in reasons[2]
    assert "out of memory" in reasons[3]
    assert "this network cannot be built" in reasons[4]
    for number in range(6):
        assert script.results[number].energy_j > 0, reasons[number]
    # a crash costs the probe and its share of the training, like any other trial
    assert script.results[1].energy_j > 0.2 * script.results[0].energy_j


def test_a_trial_that_fills_memory_bit_by_bit_fails_and_the_next_one_runs(make_executor):
    script = Script(network("memory_bit_by_bit"), network("ok"))
    with make_executor(memory_gb=3.0) as executor:
        executor.run(script)
    assert script.results[0].state is TrialState.FAILED
    assert "out of memory" in script.results[0].reason
    assert script.results[1].state is TrialState.COMPLETE


@pytest.mark.parametrize("behaviour", ["hang", "spin"])
def test_a_trial_over_its_time_is_killed_and_the_next_one_runs(make_executor, behaviour):
    script = Script(network(behaviour), network("ok"))
    with make_executor(time_limit_s=12.0) as executor:
        executor.run(script)
    assert script.results[0].state is TrialState.FAILED
    assert "executor.trial_time_limit_s (12 s)" in script.results[0].reason
    assert script.results[0].energy_j > 0
    if behaviour == "spin":  # seconds of a busy thread, though it never reported
        assert script.results[0].energy_j > 10
    assert script.results[1].state is TrialState.COMPLETE


def test_running_trials_are_marked_and_interrupted_on_request(make_executor):
    script = Script(network("spin"), network("ok"))
    interrupt = Decision(action=Action.INTERRUPT, reason="enough")
    script.stop_when = lambda: interrupt if len(script.marks) >= 3 else None
    with make_executor() as executor:
        executor.run(script)
    assert script.results[0].state is TrialState.INTERRUPTED
    assert script.results[0].energy_j >= script.marks[-1].energy_j > script.marks[0].energy_j
    assert 1 not in script.results  # nothing new is started
    gaps = [
        b.duration_s - a.duration_s for a, b in zip(script.marks, script.marks[1:], strict=False)
    ]
    assert max(gaps) < 5


def test_a_stop_reaches_a_trial_between_its_steps(make_executor):
    script = Script(network("ok"), epochs=10_000)
    stop = Decision(action=Action.STOP, reason="budget spent")
    script.stop_when = lambda: stop if len(script.reports) >= 3 else None
    started_s = time.monotonic()
    with make_executor() as executor:
        executor.run(script)
    assert script.results[0].state is TrialState.STOPPED
    assert script.results[0].reason == "budget spent"
    assert script.results[0].epochs >= 2
    assert time.monotonic() - started_s < 60


def test_two_workers_run_two_trials_at_once(make_executor):
    script = Script(network("ok", 8), network("ok", 16), epochs=100_000)
    enough = Decision(action=Action.INTERRUPT, reason="both have been seen")
    script.stop_when = lambda: (
        enough
        if {report.trial for report in script.reports if report.epoch > 0} == {0, 1}
        else None
    )
    with make_executor(workers=2) as executor:
        executor.run(script)  # neither would end before the other began
    assert {result.state for result in script.results.values()} == {TrialState.INTERRUPTED}
    assert sorted(script.results) == [0, 1]


def test_calls_answer_between_runs_and_failures_are_raised(make_executor):
    script = Script(network("ok"))
    with make_executor() as executor:
        executor.run(script)
        task = LookAheadAt(candidates=(network("ok"), network("raise")))
        seen = executor.call(task, name="look ahead", time_limit_s=60)
        task = ScoreOnTest(candidates={0: network("ok")})
        scored = executor.call(task, name="test evaluation", time_limit_s=60)
        task = ScoreOnTest(candidates={77: network("ok")})
        with pytest.raises(EcoAutoMLError, match="test evaluation: "):
            executor.call(task, name="test evaluation", time_limit_s=60)
        names = [line.line for line in executor.overhead()]
        assert names == ["worker start", "look ahead", "test evaluation", "test evaluation"]
        start, look_ahead, evaluation, failed = executor.overhead()
        assert start.energy_j > 0
        assert look_ahead.energy_j > 0
        for line in (evaluation, failed):  # too short, maybe, for the kernel's tick
            assert line.energy_j is not None
    assert [line.line for line in executor.overhead()] == [*names, "worker end"]
    assert len(seen.trial_s) == 1  # what cannot run is left out
    assert 0 < seen.trial_s[0] < 60
    assert 0 <= scored[0] <= 1


def test_a_call_is_on_the_bill_while_it_runs_and_when_it_is_given_up(make_executor):
    marks = []

    def note_mark():
        marks.append(executor.overhead()[-1])

    with make_executor() as executor:
        task = LookAheadAt(candidates=(network("spin"),))
        with pytest.raises(EcoAutoMLError, match="look ahead: took longer than 5 s"):
            executor.call(task, name="look ahead", time_limit_s=5, on_mark=note_mark)
        given_up = executor.overhead()[-1]
    assert {line.line for line in (*marks, given_up)} == {"look ahead"}
    assert len(marks) == 2  # every 2 s
    assert 0 < marks[0].energy_j < marks[1].energy_j <= given_up.energy_j


def test_closing_ends_all_worker_processes(make_executor):
    executor = make_executor(workers=2)
    executor.run(Script(network("ok")))
    pids = [worker.process.pid for worker in executor._workers]
    executor.close()
    executor.close()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)

"""Killing, interrupting and resuming a search, with real signals to real processes."""

import random
import signal
import subprocess
import time

import optuna
import pandas as pd
import pytest
from processes import run, start, write_config
from spaces_for_tests import net_space, quick_config

from ecoautoml import SearchResult
from ecoautoml.records.trial_result import TrialState

pytestmark = pytest.mark.slow

TRIALS = 8


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    process.wait()
    process.stdout.close()
    raise AssertionError(f"the process ended without printing {text!r}")


@pytest.mark.timeout(600)
def test_ten_kills_lose_nothing_and_double_nothing(tmp_path):
    config = write_config(
        tmp_path / "config.yaml",
        quick_config(
            tmp_path, budget={"trials": TRIALS}, training={"epochs": 40, "patience": None}
        ),
    )
    moments = random.Random(7)
    finished: dict[int, object] = {}
    energy_j = 0.0
    for kill in range(10):
        process = start("search", config, *(["--resume"] if kill else []))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(2, 14))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if not (tmp_path / "quick" / "config.yaml").exists():
            continue
        result = SearchResult.read(tmp_path / "quick")
        now = {one.number: one for one in result.results}
        assert {number: now.get(number) for number in finished} == finished  # none lost
        assert len(now) == len(result.results)  # none doubled
        assert (result.bill.total_energy_j or 0.0) >= energy_j  # nothing leaves the bill
        finished, energy_j = now, result.bill.total_energy_j or 0.0
        if len(finished) >= TRIALS - 2:
            break
    done = run("search", config, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    result = SearchResult.read(tmp_path / "quick")
    assert [one.number for one in result.results] == list(range(TRIALS))
    assert {
        number: one for number, one in enumerate(result.results) if number in finished
    } == finished
    assert {one.state for one in result.results} == {TrialState.COMPLETE}
    assert result.bill.total_energy_j > energy_j
    kinds = {item.kind: item.energy_j for item in result.bill.items}
    assert kinds["interrupted"] > 0
    assert result.summary.unexplained_s > 0
    assert "before a kill are unexplained" in done.stdout
    study = optuna.load_study(
        study_name="quick", storage=f"sqlite:///{tmp_path / 'quick' / 'ledger.db'}"
    )
    assert len(study.trials) == TRIALS


def test_killed_searches_leave_no_worker_behind(tmp_path):
    config = write_config(
        tmp_path / "config.yaml",
        quick_config(tmp_path, space=net_space(behaviour="spin_late"), training={"epochs": 100}),
    )
    process = start("search", config)
    wait_for(process, "Expected")
    time.sleep(4)
    listing = ["ps", "-eo", "ppid=,pid="]
    tree = [line.split() for line in subprocess.check_output(listing, text=True).splitlines()]
    children = [int(pid) for parent, pid in tree if int(parent) == process.pid]
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = subprocess.run(
            ["ps", "-o", "pid=,stat=", "-p", ",".join(map(str, children))],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split("\n")
        if not any(line.strip() and " Z" not in line for line in left):
            return
        time.sleep(0.2)
    raise AssertionError(f"still running: {left}")


def test_the_first_interrupt_stores_writes_and_exits_130_and_resume_goes_on(tmp_path):
    tree = quick_config(tmp_path, budget={"trials": 5}, training={"epochs": 60, "patience": None})
    config = write_config(tmp_path / "config.yaml", tree)
    process = start("search", config)
    wait_for(process, "trial 0 complete")
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Interrupted; the same command with --resume goes on." in output
    folder = tmp_path / "quick"
    before = pd.read_csv(folder / "front.csv")
    assert len(before) >= 1
    assert (folder / "report.html").exists()
    kept = SearchResult.read(folder)
    assert kept.summary.unexplained_s is None  # a clean end leaves no gap

    done = run("search", config, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    result = SearchResult.read(folder)
    assert [one.number for one in result.results] == list(range(5))
    assert result.results[: len(kept.results)] == kept.results


def test_a_second_interrupt_stops_at_once(tmp_path):
    config = write_config(
        tmp_path / "config.yaml",
        quick_config(tmp_path, space=net_space(behaviour="spin_late"), training={"epochs": 100}),
    )
    process = start("search", config)
    wait_for(process, "Expected")
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    started_s = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - started_s < 8  # a spinning worker would get 40 s to answer


def replayed(folder, sampler) -> dict:
    """Return a search in which nothing depends on real time."""
    trace = folder / "trace.csv"
    steps = random.Random(0)
    rows, energy_j = [], 0.0
    for row in range(500):
        energy_j += steps.uniform(0.001, 0.03)
        rows.append(f"{row * 0.01:.2f},{energy_j:.6f}")
    trace.write_text("time_s,energy_j\n" + "\n".join(rows) + "\n")
    return quick_config(
        folder,
        objectives=["validation_accuracy", "inference_energy_j", "macs"],
        sampler=sampler,
        budget={"trials": TRIALS},
        measure={"meter": {"kind": "replay", "path": str(trace)}},
    )


SAMPLERS = [
    {"kind": "random"},
    {"kind": "tpe", "n_startup_trials": 3},
    {"kind": "nsga2", "population_size": 3},
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler["kind"])
def test_a_killed_and_resumed_search_proposes_and_finds_what_an_uninterrupted_one_does(
    tmp_path, sampler
):
    tree = replayed(tmp_path, sampler)
    config = write_config(tmp_path / "config.yaml", tree)
    whole = run("search", config, "--set", "name=whole")
    assert whole.returncode == 0, whole.stderr

    arguments = ["search", config, "--set", "name=killed"]
    process = start(*arguments)
    wait_for(process, "trial 3 ")  # complete, or reused
    time.sleep(1.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process = start(*arguments, "--resume")
    wait_for(process, "complete, validation accuracy")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = run(*arguments, "--resume")
    assert done.returncode == 0, done.stderr

    ours, theirs = (SearchResult.read(tmp_path / name).trials for name in ("killed", "whole"))
    depends_on_time = ["duration_s", "interrupted_energy_j", "trial_energy_j"]
    pd.testing.assert_frame_equal(
        ours.drop(columns=depends_on_time), theirs.drop(columns=depends_on_time)
    )
    assert (ours["state"] == "complete").sum() == TRIALS

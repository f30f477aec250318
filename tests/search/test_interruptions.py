"""Killing, interrupting and resuming a search, with real signals to real processes."""

import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from processes import children, is_running, run, start, write_config
from spaces_for_tests import net_space, quick_config

from ecoautoml import SearchResult
from ecoautoml.records.trial_result import TrialState
from ecoautoml.records.turn import Move

pytestmark = pytest.mark.slow

TRIALS, KILLS = 8, 10


def wait_for(process: subprocess.Popen[str], pattern: str) -> None:
    """Wait until a search prints a line with the pattern in it."""
    assert process.stdout is not None
    for line in process.stdout:
        if re.search(pattern, line):
            return
    process.wait()
    process.stdout.close()
    raise AssertionError(f"the process ended without printing {pattern!r}")


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a search that is still running."""
    assert process.poll() is None, "it ended before it was killed"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def marked_j(folder: Path) -> float:
    """Return the joules of trials without a result, as the ledger knows them."""
    marks = SearchResult.read(folder).summary.interrupted.values()
    return sum(line.energy_j or 0.0 for line in marks)


def stored(folder: Path) -> dict[int, str]:
    """Return what the ledger holds of each finished trial, word for word; no trial stands twice."""
    storage = f"sqlite:///{folder / 'ledger.db'}"
    trials = optuna.load_study(study_name=folder.name, storage=storage).trials
    assert [one.number for one in trials] == list(range(len(trials)))
    assert len({one.user_attrs["candidate"] for one in trials}) == len(trials)
    results = {one.number: one.user_attrs["result"] for one in trials if "result" in one.user_attrs}
    assert [json.loads(text)["number"] for text in results.values()] == list(results)
    assert len(trials) - len(results) <= 1  # there is one worker
    return results


@pytest.mark.timeout(600)
def test_ten_kills_lose_nothing_and_double_nothing(tmp_path):
    tree = quick_config(tmp_path, budget={"trials": 200}, training={"epochs": 40, "patience": None})
    config = write_config(tmp_path / "config.yaml", tree)
    folder = tmp_path / "quick"
    moments = random.Random(7)
    finished: dict[int, str] = {}
    energy_j = 0.0
    for number in range(KILLS):
        process = start("search", config, *(["--resume"] if number else []))
        if number == 0:
            wait_until((folder / "config.yaml").exists)  # from here on there is a run
            time.sleep(moments.uniform(0, 3))
        elif number == KILLS - 1:
            before_j = marked_j(folder)
            wait_until(lambda before_j=before_j: marked_j(folder) > before_j)
        elif number % 2:
            wait_for(process, r"trial \d+ complete")
            time.sleep(moments.uniform(0, 2))
        else:
            time.sleep(moments.uniform(0.5, 6))  # while it starts, mostly
        kill(process)
        now = stored(folder)
        assert {number: now.get(number) for number in finished} == finished  # none lost
        result = SearchResult.read(folder)
        assert [one.number for one in result.results] == list(now)
        assert (result.bill.total_energy_j or 0.0) >= energy_j  # nothing leaves the bill
        finished, energy_j = now, result.bill.total_energy_j or 0.0

    assert len(finished) >= 4  # four of the kills waited for one
    trials = len(finished) + 2
    done = run("search", config, "--resume", "--set", f"budget.trials={trials}")
    assert done.returncode == 0, done.stdout + done.stderr
    now = stored(folder)
    assert list(now) == list(range(trials))
    assert {number: now[number] for number in finished} == finished
    result = SearchResult.read(folder)
    assert [one.number for one in result.results] == list(range(trials))
    assert {one.state for one in result.results} == {TrialState.COMPLETE}
    assert result.bill.total_energy_j > energy_j
    kinds = {item.kind: item.energy_j for item in result.bill.items}
    assert kinds["interrupted"] > 0
    assert result.summary.unexplained_s > 0
    assert "before a kill are unexplained" in done.stdout


def test_killed_searches_leave_no_worker_behind(tmp_path):
    config = write_config(
        tmp_path / "config.yaml",
        quick_config(tmp_path, space=net_space(behaviour="spin_late"), training={"epochs": 100}),
    )
    process = start("search", config)
    wait_for(process, "Expected")
    time.sleep(4)
    workers = children(process.pid)
    assert workers
    kill(process)
    deadline_s = time.monotonic() + 10
    while left := [pid for pid in workers if is_running(pid)]:
        assert time.monotonic() < deadline_s, f"still running: {left}"
        time.sleep(0.2)


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
    assert set(before["inference_energy_stage"]) == {"screening"}
    assert "was not measured in turn" in " ".join(kept.summary.notes)
    assert before["test_accuracy"].isna().all()  # the test images are for the final front

    done = run("search", config, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    result = SearchResult.read(folder)
    assert [one.number for one in result.results] == list(range(5))
    as_screened = [
        replace(one, final=None, ties_with=(), metrics=first.metrics)
        for one, first in zip(result.results, kept.results, strict=False)
    ]
    assert as_screened == kept.results  # what was measured in turn at the end came on top
    assert result.front["test_accuracy"].notna().all()


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
    is_planned = sampler["kind"] == "auto"
    trace = folder / "trace.csv"
    # far apart, few rows pass while a model is measured: a probe is cheap, and trainings are halted
    row_s = 0.2 if is_planned else 0.01
    steps = random.Random(0)
    rows, energy_j = [], 0.0
    for row in range(500):
        energy_j += steps.uniform(0.001, 0.03)
        rows.append(f"{row * row_s:.2f},{energy_j:.6f}")
    trace.write_text("time_s,energy_j\n" + "\n".join(rows) + "\n")
    space = net_space()
    # some of it too small to learn with, for the pruner
    space["hyperparameters"]["learning_rate"] = {"low": 1e-7, "high": 3e-2, "log": True}
    return quick_config(
        folder,
        space=space,
        objectives=["validation_accuracy", "inference_energy_j", "macs"],
        sampler=sampler,
        pruner={"kind": "dominance", "min_curves": 1},
        training={"epochs": 9 if is_planned else 4},
        budget={"trials": TRIALS},
        measure={"meter": {"kind": "replay", "path": str(trace)}},
    )


SAMPLERS = [
    {"kind": "random"},
    {"kind": "tpe", "n_startup_trials": 3},
    {"kind": "nsga2", "population_size": 3},
    {"kind": "auto", "n_startup_trials": 3},
]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler["kind"])
def test_a_killed_and_resumed_search_proposes_and_finds_what_an_uninterrupted_one_does(
    tmp_path, sampler
):
    tree = replayed(tmp_path, sampler)
    config = write_config(tmp_path / "config.yaml", tree)
    whole = run("search", config, "--set", "name=whole", timeout_s=400)
    assert whole.returncode == 0, whole.stderr

    arguments = ["search", config, "--set", "name=killed"]
    process = start(*arguments)
    # complete, pruned, paused or reused; the last trials of a planned search end within a second
    wait_for(process, r"\] trial 1 " if sampler["kind"] == "auto" else r"\] trial 3 ")
    time.sleep(1.2)
    kill(process)
    process = start(*arguments, "--resume")
    wait_for(process, r"trial \d+ (complete|pruned|paused)")
    kill(process)
    done = run(*arguments, "--resume", timeout_s=400)
    assert done.returncode == 0, done.stderr

    results = [SearchResult.read(tmp_path / name) for name in ("killed", "whole")]
    ours, theirs = (result.trials for result in results)
    depends_on_time = ["duration_s", "interrupted_energy_j"]
    pd.testing.assert_frame_equal(
        ours.drop(columns=depends_on_time), theirs.drop(columns=depends_on_time)
    )
    assert ours["state"].isin(["complete", "pruned", "paused"]).sum() == TRIALS
    our_turns, their_turns = ([one.turns(n) for n in ours["trial"]] for one in results)
    assert our_turns == their_turns
    moves = {turn.move for turns in our_turns for turn in turns}
    assert (Move.PAUSE in moves) == (sampler["kind"] == "auto")
    if sampler["kind"] == "random":  # on every machine it proposes something hopeless late
        assert (ours["state"] == "pruned").any()

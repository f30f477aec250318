"""A whole search in which trials are halted at rungs, and the best of them go on."""

import re
import signal

import pandas as pd
import pytest
from processes import run, start, write_config
from spaces_for_tests import quick_config

from ecoautoml import SearchResult, search
from ecoautoml.records.trial_result import TrialState
from ecoautoml.records.turn import Move
from ecoautoml.study.ledger import Ledger
from ecoautoml.trial.pausing import pause_file

pytestmark = pytest.mark.slow

TRIALS, EPOCHS = 9, 5
RUNGS = (1, 2)
"""A ninth and a third of the epochs, rounded up."""


def halving(folder, **changes):
    """Return a search whose decisions depend on nothing that is measured."""
    tree = {
        "objectives": ["validation_accuracy", "macs"],
        "sampler": "random",
        "pruner": "halving",
        "training": {"epochs": EPOCHS, "patience": None},
        "budget": {"trials": TRIALS},
        "measure": {"max_seconds": 0.1},
    }
    return quick_config(folder, **{**tree, **changes})


def turns(result):
    """Return every trial's decisions: what, and after which epoch.

    One that was made again, because a kill came before it was carried out, counts once.
    """
    folder = result.folder
    ledger = Ledger(
        f"sqlite:///{folder / 'ledger.db'}",
        folder.name,
        result.config.objectives,
        is_read_only=True,
    )
    return {
        one.number: list(
            dict.fromkeys((turn.move, turn.epoch) for turn in ledger.turns(one.number))
        )
        for one in result.results
    }


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> SearchResult:
    return search(halving(tmp_path_factory.mktemp("halving"), executor={"workers": 2}))


def numbers(result, state):
    return {one.number for one in result.results if one.state is state}


def test_few_trials_are_trained_to_their_end_and_the_others_wait(result):
    assert [one.number for one in result.results] == list(range(TRIALS))
    complete, waiting = (numbers(result, s) for s in (TrialState.COMPLETE, TrialState.PAUSED))
    assert len(complete) + len(waiting) == TRIALS
    assert 1 <= len(complete) <= TRIALS / 2
    for one in result.results:
        epochs = [report.epoch for report in one.curve]
        assert epochs == list(range(one.epochs + 1))  # each was trained once
        assert one.epochs in ((EPOCHS,) if one.number in complete else RUNGS)


def test_whoever_was_trained_beyond_a_rung_was_halted_there_or_among_the_best(result):
    decided = turns(result)
    for number, moves in decided.items():
        halted = [epoch for move, epoch in moves if move is Move.PAUSE]
        gone_on = [epoch for move, epoch in moves if move is Move.GO_ON]
        assert set(halted) <= set(RUNGS)
        is_waiting = number in numbers(result, TrialState.PAUSED)
        assert gone_on == (halted[:-1] if is_waiting else halted)
    assert any(Move.GO_ON in dict(moves) for moves in decided.values())


def test_tables_show_who_waits_and_the_front_who_is_complete(result):
    waiting = numbers(result, TrialState.PAUSED)
    table = result.trials
    assert set(table[table["state"] == "paused"]["trial"]) == waiting
    assert table[table["state"] == "paused"]["epochs_trained"].isin(RUNGS).all()
    stored = pd.read_parquet(result.folder / "trials.parquet")
    assert (stored["state"] == "paused").sum() == len(waiting)
    assert set(result.front["trial"]) <= numbers(result, TrialState.COMPLETE)
    assert len(result.front) >= 1
    assert "set aside" in (result.folder / "report.html").read_text()


def test_the_bill_adds_up_and_holds_what_waits(result):
    items = {item.kind: item for item in result.bill.items}
    waiting = [one for one in result.results if one.state is TrialState.PAUSED]
    assert items["paused"].n_trials == len(waiting)
    assert items["paused"].energy_j == pytest.approx(sum(one.energy_j for one in waiting))
    total = sum(item.energy_j for item in result.bill.items)
    assert result.bill.total_energy_j == pytest.approx(total)
    for one in waiting:
        assert next(line for line in one.energy if line.line == "pausing").energy_j >= 0
    for one in result.results:
        assert one.energy_j == pytest.approx(sum(line.energy_j for line in one.energy))


def test_checkpoints_are_kept_of_those_that_wait_and_of_nobody_else(result):
    folder = result.folder / "paused"
    waiting = [one for one in result.results if one.state is TrialState.PAUSED]
    wanted = {pause_file(folder, one.number, one.epochs) for one in waiting}
    assert waiting
    assert set(folder.iterdir()) == wanted


@pytest.mark.timeout(600)
def test_a_killed_and_resumed_search_halts_and_goes_on_as_an_uninterrupted_one(tmp_path):
    config = write_config(tmp_path / "config.yaml", halving(tmp_path, executor={"workers": 1}))
    whole = run("search", config, "--set", "name=whole")
    assert whole.returncode == 0, whole.stderr

    arguments = ["search", config, "--set", "name=killed"]
    waits_for = (r"trial [3-9] (paused|complete)", r"trial \d+ (paused|complete)")
    for number, pattern in enumerate(waits_for):
        process = start(*arguments, *(["--resume"] if number else []))
        assert any(re.search(pattern, line) for line in process.stdout), "it ended before"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
    before = SearchResult.read(tmp_path / "killed")
    assert numbers(before, TrialState.PAUSED)
    done = run(*arguments, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr

    ours, theirs = (SearchResult.read(tmp_path / name) for name in ("killed", "whole"))
    columns = ["trial", "state", "validation_accuracy", "macs", "epochs_trained", "learning_rate"]
    pd.testing.assert_frame_equal(ours.trials[columns], theirs.trials[columns])
    assert turns(ours) == turns(theirs)
    assert ours.bill.total_energy_j > before.bill.total_energy_j
    assert list(ours.front["trial"]) == list(theirs.front["trial"])

"""What every planner promises, in a search driven by hand."""

import math
import random
import shutil
from dataclasses import replace

import pytest
from planned_searches import EPOCHS, advance, reports_of, run
from searches_by_hand import THREE, TWO, SearchByHand, conditional_space

from ecoautoml.config import load_config
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.spaces import validate_point
from ecoautoml.strategies.base import GoOn, History
from ecoautoml.strategies.planners import make_planner


def planner(objectives=TWO, constraints=(), **changes):
    tree = {
        "data": "digits",
        "space": "tiny",
        "objectives": list(objectives),
        "constraints": list(constraints),
        "sampler": {"kind": "auto", "n_startup_trials": 4, **changes},
        "training": {"epochs": EPOCHS},
    }
    config = load_config(tree)
    return make_planner(config, conditional_space(), image_size=8, in_chans=1, n_classes=10)


def open_search(folder, objectives=TWO, constraints=(), **changes):
    return SearchByHand(folder, planner=planner(objectives, constraints, **changes))


@pytest.mark.parametrize("objectives", [TWO, THREE, TWO[:1]], ids=["two", "three", "one"])
def test_it_begins_points_of_the_space_and_some_of_them_end(objectives, tmp_path):
    one = open_search(tmp_path, objectives)
    for _, candidate in run(one):
        validate_point(conditional_space(), candidate.parameters())
    states = [result.state for result in one.ledger.results()]
    assert TrialState.COMPLETE in states
    assert not [event for event in one.events if "Planning failed" in event]


def test_trainings_are_halted_and_gone_on_with(tmp_path):
    one = open_search(tmp_path)
    chosen = run(one)
    numbers = [number for number, _ in chosen]
    assert len(set(numbers)) < len(numbers)
    assert one.ledger.paused()


def test_without_pauses_every_trial_runs_to_its_end(tmp_path):
    one = open_search(tmp_path, pause=False)
    run(one, 8)
    assert one.ledger.paused() == []
    assert len(one.ledger.results()) == 8


def test_the_seed_and_the_results_decide(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert run(open_search(tmp_path / "a")) == run(open_search(tmp_path / "b"))


@pytest.mark.parametrize("rounds", [2, 6, 11])
def test_a_reopened_search_goes_on_as_one_that_stayed_open(rounds, tmp_path):
    for name in ("stayed", "killed"):
        (tmp_path / name).mkdir()
    stayed = open_search(tmp_path / "stayed")
    run(stayed, rounds)
    shutil.copyfile(tmp_path / "stayed" / "ledger.db", tmp_path / "killed" / "ledger.db")
    reopened = open_search(tmp_path / "killed")
    assert run(reopened, 5) == run(stayed, 5)


def test_what_runs_meanwhile_is_not_begun_again(tmp_path):
    one = open_search(tmp_path)
    run(one, 8)
    jobs = [one.loop.ask() for _ in range(4)]
    assert len({job.number for job in jobs}) == 4
    assert len({job.candidate.key() for job in jobs}) == 4


def test_failures_of_every_kind_are_survived(tmp_path):
    """Trials that failed, broke a limit, were stopped, or had joules nobody could read."""
    chance, one = random.Random(0), open_search(tmp_path, constraints=["params <= 30"])
    for index in range(24):
        job = one.loop.ask()
        if job is None:
            break
        if index % 4 == 1:
            one.loop.tell(
                TrialResult(number=job.number, state=TrialState.FAILED, candidate=job.candidate)
            )
        elif index % 4 == 2:
            metrics = {"params": 50.0}
            one.loop.report(next(iter(reports_of(job))))
            one.loop.tell(
                TrialResult(
                    number=job.number,
                    state=chance.choice([TrialState.INFEASIBLE, TrialState.STOPPED]),
                    candidate=job.candidate,
                    metrics=metrics,
                    constraints={"params <= 30": 0.6},
                )
            )
        else:
            advance(one, job)
    assert not [event for event in one.events if "Planning failed" in event]


def test_every_beginning_says_why(tmp_path):
    one = open_search(tmp_path)
    run(one)
    for number in {result.number for result in one.ledger.results()}:
        begun = one.ledger.turns(number)[0]
        assert begun.reason
    planned = [turn for n in range(4, 8) for turn in one.ledger.turns(n)[:1] if turn.figures]
    assert planned
    assert all(0.0 <= turn.figures["chance_to_join"] <= 1.0 for turn in planned)


def test_a_probe_may_be_missing(tmp_path):
    """A trial that died before its first report has neither curve nor costs."""
    one = open_search(tmp_path)
    job = one.loop.ask()
    one.loop.tell(TrialResult(number=job.number, state=TrialState.FAILED, candidate=job.candidate))
    assert one.loop.ask().candidate != job.candidate


def test_the_first_trials_end_where_they_have_taken_a_quarter_of_a_budget(tmp_path):
    one = open_search(tmp_path, n_startup_trials=16)
    run(one, 6)
    history = History(finished=one.ledger.results(), paused=one.ledger.paused())
    plans = planner(n_startup_trials=16)
    plenty, enough, little = (
        plans.next(replace(history, left=left), {}) for left in (math.inf, 3.1, 2.9)
    )
    assert "first candidates" in plenty.turn.reason
    assert "first candidates" in enough.turn.reason
    assert isinstance(little, GoOn)

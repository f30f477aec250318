"""Trials that are halted at a checkpoint and gone on with, as the loop and the ledger see them."""

import shutil
from dataclasses import replace

import pytest
from searches_by_hand import SearchByHand, line, mark, open_ledger, report

from ecoautoml.records.progress import CONTINUE, Action, Decision
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.records.turn import Move, Turn
from ecoautoml.strategies.base import Begin, GoOn, Planner, Pruner


class HaltsAt(Pruner):
    """Halts every trial after an epoch, and goes on with the first when two are halted."""

    def __init__(self, epoch=1, enough=2):
        self.epoch, self.enough = epoch, enough

    def decide(self, trial, history):
        if trial.epoch != self.epoch:
            return CONTINUE
        return Decision(action=Action.PAUSE, reason="others first", figures={"expected_gain": 0.1})

    def promote(self, history):
        if len(history.paused) < self.enough:
            return None
        first = history.paused[0]
        turn = Turn(move=Move.GO_ON, epoch=first.epochs, reason="its turn has come")
        return GoOn(number=first.number, turn=turn)


class Plans(Planner):
    """Begins the same candidate a little wider every time, and keeps count."""

    def next(self, history, state):
        count = int(state.get("count", 0))
        if not history.may_begin or count >= 7:
            return None
        values = {"width": 4 + 4 * count, "kernel": 3, "optimizer": "adamw", "learning_rate": 0.01}
        turn = Turn(move=Move.BEGIN, epoch=0, reason=f"plan {count}")
        return Begin(turn=turn, values=values, state={"count": count + 1})


class BreaksDown(Planner):
    def next(self, history, state):
        raise ArithmeticError("the matrix is singular")

    def decide(self, trial, history, state):
        raise ArithmeticError("the matrix is singular")


@pytest.fixture
def search(tmp_path):
    return lambda **changes: SearchByHand(tmp_path, **{"pruner": HaltsAt(), **changes})


def pause(one, job, *, energy_j=3.0, epoch=1):
    """Report an epoch, and tell what a worker tells that was told to halt."""
    curve = () if job.before is None else job.before.curve
    if not curve:
        one.loop.report(report(job, 0))
        curve = (report(job, 0),)
    assert one.loop.report(report(job, epoch)).action is Action.PAUSE
    before = () if job.before is None else job.before.energy
    one.loop.tell(
        TrialResult(
            number=job.number,
            state=TrialState.PAUSED,
            candidate=job.candidate,
            reason="others first",
            energy=(*before, line("training", energy_j)),
            curve=(*curve, report(job, epoch)),
            epochs=epoch,
        )
    )


def test_a_halted_trial_goes_on_under_its_number_with_its_reports_and_its_seed(search):
    one = search()
    first, second = one.loop.ask(), one.loop.ask()
    pause(one, first)
    assert one.loop.ask().number == 2  # one alone is not gone on with
    pause(one, second)
    again = one.loop.ask()
    assert (again.number, again.candidate, again.seed) == (0, first.candidate, first.seed)
    assert again.before.state is TrialState.PAUSED
    assert [each.epoch for each in again.before.curve] == [0, 1]
    assert one.loop.report(report(again, 2)) == CONTINUE
    one.tell(again)
    assert [each.number for each in one.ledger.results()] == [0]
    assert [each.number for each in one.ledger.paused()] == [1]


def test_joules_of_a_halted_trial_stay_on_the_bill_and_are_counted_once(search, tmp_path):
    one = search()
    first, second = one.loop.ask(), one.loop.ask()
    pause(one, first, energy_j=3.0)
    pause(one, second, energy_j=5.0)
    assert one.loop.spent().energy_j == 8.0
    again = one.loop.ask()
    one.loop.mark(mark(again.number, 2.0))
    assert one.loop.spent().energy_j == 10.0
    one.tell(again, energy=(line("training", 3.0), line("more", 2.5)))
    assert one.loop.spent().energy_j == 10.5
    reopened = open_ledger(tmp_path)
    assert reopened.interrupted_energy() == {}
    assert [each.energy_j for each in (*reopened.results(), *reopened.paused())] == [5.5, 5.0]


def test_a_halted_trial_that_goes_on_when_the_search_is_killed_goes_on_again(search, tmp_path):
    one = search()
    first, second = one.loop.ask(), one.loop.ask()
    one.loop.mark(mark(first.number, 2.9), mark(second.number, 1.0))
    pause(one, first, energy_j=3.0)
    pause(one, second, energy_j=5.0)
    again = one.loop.ask()
    one.loop.mark(mark(again.number, 2.0))
    shutil.copyfile(tmp_path / "ledger.db", tmp_path / "killed.db")
    killed = open_ledger(tmp_path, name="killed.db")
    (unfinished,) = killed.unfinished()
    assert (unfinished.number, unfinished.turn.reason) == (0, "its turn has come")
    assert [each.number for each in killed.paused()] == [0, 1]
    assert {n: each.energy_j for n, each in killed.interrupted_energy().items()} == {0: 2.0}
    reopened = one.reopened()
    assert reopened.loop.spent().energy_j == 10.0
    assert reopened.loop.ask() == again
    assert reopened.ledger.turns(0) == one.ledger.turns(0)  # it was decided once


def test_marks_of_an_attempt_that_was_halted_are_not_counted_beside_it(search, tmp_path):
    """A kill right after the halt was written leaves the marks of the attempt behind."""
    one = search(pruner=HaltsAt(enough=9))
    job, other = one.loop.ask(), one.loop.ask()
    one.loop.mark(mark(job.number, 2.9), mark(other.number, 1.0))
    pause(one, job, energy_j=3.0)
    killed = open_ledger(tmp_path)
    assert [each.energy_j for each in killed.paused()] == [3.0]
    assert {n: each.energy_j for n, each in killed.interrupted_energy().items()} == {1: 1.0}


def test_halting_again_replaces_what_was_kept(search, tmp_path):
    one = search(pruner=HaltsAt(enough=1))
    job = one.loop.ask()
    pause(one, job, energy_j=3.0)
    one.loop.pruner.epoch = 2
    again = one.loop.ask()
    one.loop.mark(mark(again.number, 1.5))
    pause(one, again, energy_j=2.0, epoch=2)
    (kept,) = open_ledger(tmp_path).paused()
    assert (kept.epochs, kept.energy_j) == (2, 5.0)
    assert open_ledger(tmp_path).interrupted_energy() == {}


def test_halted_trials_count_as_begun(search):
    one = search(budget={"trials": 2}, pruner=HaltsAt(enough=2))
    first, second = one.loop.ask(), one.loop.ask()
    pause(one, first)
    assert one.loop.spent().trials == 2
    assert one.loop.ask() is None  # nothing new may begin, and one alone does not go on
    pause(one, second)
    assert one.loop.ask().number == 0


def test_every_decision_is_written_down_with_its_reason(search, tmp_path):
    one = search()
    first, second = one.loop.ask(), one.loop.ask()
    pause(one, first)
    pause(one, second)
    one.loop.ask()
    turns = open_ledger(tmp_path).turns(0)
    assert [(each.move, each.epoch, each.reason) for each in turns] == [
        (Move.BEGIN, 0, "proposed by the sampler random"),
        (Move.PAUSE, 1, "others first"),
        (Move.GO_ON, 1, "its turn has come"),
    ]
    assert turns[1].figures == {"expected_gain": 0.1}


def test_an_equal_candidate_waits_for_a_halted_one(search):
    one = search(pruner=HaltsAt(enough=9))
    job = one.loop.ask()
    pause(one, job)
    values = job.candidate.parameters()

    class Again(Planner):
        def next(self, history, state):
            turn = Turn(move=Move.BEGIN, epoch=0, reason="again")
            return Begin(turn=turn, values=values) if not history.running else None

    one.loop.planner = Again()
    assert one.loop.ask() is None  # asked over and over, it is the same each time
    assert "had all been run before" in one.events[-1]
    assert [each.number for each in one.ledger.paused()] == [0]


# --- planners -------------------------------------------------------------------------------------


def test_what_was_planned_is_run_and_the_plan_goes_on_after_a_restart(search, tmp_path):
    one = search(planner=Plans())
    widths = [one.loop.ask().candidate.parameters()["width"] for _ in range(3)]
    assert widths == [4, 8, 12]
    reopened = one.reopened()
    again = [reopened.loop.ask().candidate.parameters()["width"] for _ in range(4)]
    assert again == [4, 8, 12, 16]  # those that ran are run again, then the plan goes on
    assert [turn.reason for turn in open_ledger(tmp_path).turns(3)] == ["plan 3"]


def test_where_planning_fails_chance_chooses_and_says_so_once(search):
    one = search(planner=BreaksDown(), pruner=HaltsAt(epoch=99))
    first, second = one.loop.ask(), one.loop.ask()
    assert first.candidate != second.candidate
    assert one.loop.report(report(first, 1)) == CONTINUE
    said = [event for event in one.events if "Planning failed" in event]
    assert said == [
        "Planning failed (ArithmeticError: the matrix is singular); where it does, chance chooses."
    ]
    assert "chance" in one.ledger.turns(0)[0].reason


def test_a_trial_watched_by_the_pruner_is_not_halted_by_the_planner(search):
    class Watches(Pruner):
        def decide(self, trial, history):
            return Decision(reason="out of reach", is_withheld=True)

    class Halts(Plans):
        def decide(self, trial, history, state):
            return Decision(action=Action.PAUSE, reason="others first")

    one = search(pruner=Watches(), planner=Halts())
    job = one.loop.ask()
    answers = [one.loop.report(report(job, epoch)) for epoch in range(3)]
    assert [each.action for each in answers] == [Action.CONTINUE] * 3
    one.tell(job)
    assert one.ledger.results()[0].would_have_stopped == 0
    moves = [turn.move for turn in one.ledger.turns(0)]
    assert moves == [Move.BEGIN, Move.WATCH]


def test_a_failed_attempt_ends_a_halted_trial(search):
    one = search()
    first, second = one.loop.ask(), one.loop.ask()
    pause(one, first)
    pause(one, second)
    again = one.loop.ask()
    one.loop.tell(replace(again.before, state=TrialState.FAILED, reason="the worker process died"))
    assert [each.number for each in one.ledger.paused()] == [1]
    assert one.ledger.results()[0].state is TrialState.FAILED

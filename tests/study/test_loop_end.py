"""When a search ends: a limit, Ctrl-C, or the same failure over and over."""

from dataclasses import replace

import pytest
from searches_by_hand import KnownSession, conditional_space, line, mark, open_ledger, outcome

from ecoautoml.config import load_config
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import Action, Progress
from ecoautoml.records.trial_result import STATE_AFTER, TrialState
from ecoautoml.spaces.load import load_space
from ecoautoml.strategies.pruners import NoPruner
from ecoautoml.study.budget import Spent
from ecoautoml.study.loop import MAX_EQUAL_FAILURES, SearchLoop

TWO_J = 2 / 3600
ONE_MODEL = load_space(
    {
        "architecture": {"builder": "python", "function": "nowhere:build", "width": 8, "kernel": 3},
        "hyperparameters": {"learning_rate": 0.01, "epochs": 3},
    }
)


class Search:
    """A search driven by hand, its events, and whether Ctrl-C was pressed."""

    def __init__(self, folder, space, budget):
        self.events: list[str] = []
        self.is_interrupted = False
        tree = {"data": "digits", "space": "tiny", "sampler": "random", "budget": budget}
        self.ledger = open_ledger(folder)
        self.loop = SearchLoop(
            config=load_config(tree),
            space=space,
            ledger=self.ledger,
            pruner=NoPruner(),
            epochs_for=lambda proposal: 3,
            session=KnownSession(self.ledger),
            observer=lambda snapshot: self.events.append(snapshot.event or ""),
            should_interrupt=lambda: self.is_interrupted,
            earlier=Spent(trials=0, elapsed_s=0.0, energy_j=None),
        )

    def tell(self, job, state=TrialState.COMPLETE, **changes):
        result = replace(outcome(job), number=job.number, state=state, **changes)
        self.loop.tell(result)


@pytest.fixture
def search(tmp_path):
    def opened(space=None, **budget):
        return Search(tmp_path, space or conditional_space(), budget or {"trials": 50})

    return opened


def first_report(job):
    return Progress(trial=job.number, epoch=1, epochs=3, metrics={"validation_accuracy": 0.5})


# --- a limit is reached ---------------------------------------------------------------------------


def test_a_spent_budget_stops_running_trials_and_starts_no_more(search):
    one = search(energy_wh=TWO_J)
    job = one.loop.ask()
    one.loop.mark(mark(job.number, 1.9))
    assert one.loop.stop() is None
    one.loop.mark(mark(job.number, 2.1))
    decision = one.loop.stop()
    assert decision.action is Action.STOP
    assert STATE_AFTER[decision.action] is TrialState.STOPPED
    assert "Wh spent" in decision.reason
    assert one.loop.report(first_report(job)) == decision
    assert one.loop.ask() is None


def test_a_limit_stays_reached_when_the_joules_are_corrected_downwards(search):
    one = search(energy_wh=TWO_J)
    job = one.loop.ask()
    one.loop.mark(mark(job.number, 2.1))
    reached = one.loop.stop()
    one.tell(job, TrialState.STOPPED, energy=(line("training", 1.0),))
    assert one.loop.spent().energy_j == 1.0
    assert one.loop.stop() == reached
    assert one.loop.ask() is None


def test_a_trial_the_budget_stopped_is_not_reused(search):
    one = search(ONE_MODEL)
    job = one.loop.ask()
    one.tell(job, TrialState.STOPPED)
    again = search(ONE_MODEL).loop.ask()  # a larger budget, say
    assert again is not None
    assert again.candidate == job.candidate
    assert again.number > job.number


def test_a_finished_trial_is_reused(search):
    one = search(ONE_MODEL, trials=2)
    one.tell(one.loop.ask())
    assert one.loop.ask() is None  # there is nothing else in that space
    states = {result.state for result in one.ledger.results()[1:]}
    assert states == {TrialState.REUSED}


@pytest.mark.parametrize("state", [TrialState.STOPPED, TrialState.INTERRUPTED])
def test_a_proposal_that_waited_for_a_trial_without_an_answer_gets_none(search, state):
    one = search(ONE_MODEL)
    job = one.loop.ask()
    assert one.loop.ask() is None  # all further proposals equal the running one, and wait
    one.tell(job, state)
    assert not [r for r in one.ledger.results() if r.state is TrialState.REUSED]


# --- Ctrl-C ---------------------------------------------------------------------------------------


def test_an_interrupted_search_starts_nothing_and_asks_no_sampler(search):
    one = search()
    running = one.loop.ask()
    one.is_interrupted = True
    assert one.loop.ask() is None
    assert one.loop.stop().action is Action.INTERRUPT
    assert one.loop.report(first_report(running)).action is Action.INTERRUPT
    assert len(one.ledger.unfinished()) == 1  # nothing new was proposed


def test_trials_left_by_an_earlier_session_are_not_begun_either(search):
    search().loop.ask()
    one = search()
    one.is_interrupted = True
    assert one.loop.ask() is None


def test_an_interrupt_goes_before_a_spent_budget(search):
    one = search(energy_wh=TWO_J)
    one.loop.mark(mark(one.loop.ask().number, 3.0))
    assert one.loop.stop().action is Action.STOP
    one.is_interrupted = True
    assert one.loop.stop().action is Action.INTERRUPT


# --- the same failure over and over ---------------------------------------------------------------


def fail(one, reason="RuntimeError: no such operator"):
    job = one.loop.ask()
    assert isinstance(job.candidate, Candidate)
    one.tell(job, TrialState.FAILED, reason=reason, metrics={})


def test_equal_failures_with_nothing_completed_end_a_search(search):
    one = search()
    for _ in range(MAX_EQUAL_FAILURES):
        fail(one)
    assert one.loop.ask() is None
    wanted = f"giving up: {MAX_EQUAL_FAILURES} trials in a row failed: RuntimeError: no such"
    assert one.events[-1].startswith(wanted)
    assert len(one.ledger.results()) == MAX_EQUAL_FAILURES == 12


def test_one_failure_less_does_not(search):
    one = search()
    for _ in range(MAX_EQUAL_FAILURES - 1):
        fail(one)
    assert one.loop.ask() is not None


def test_different_failures_do_not(search):
    one = search()
    for index in range(MAX_EQUAL_FAILURES + 1):
        fail(one, reason=f"RuntimeError: {index % 2}")
    assert one.loop.ask() is not None


def test_equal_failures_after_a_success_do_not(search):
    one = search()
    one.tell(one.loop.ask())
    for _ in range(MAX_EQUAL_FAILURES):
        fail(one)
    assert one.loop.ask() is not None

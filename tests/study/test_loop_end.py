"""When a search ends: a limit, Ctrl-C, or the same failure over and over."""

import pytest
from searches_by_hand import SearchByHand, line, mark, report

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import Action
from ecoautoml.records.trial_result import STATE_AFTER, TrialState
from ecoautoml.spaces.load import load_space
from ecoautoml.study.loop import MAX_EQUAL_FAILURES

TWO_J = 2 / 3600
ONE_MODEL = load_space(
    {
        "architecture": {"builder": "python", "function": "nowhere:build", "width": 8, "kernel": 3},
        "hyperparameters": {"learning_rate": 0.01, "epochs": 3},
    }
)


@pytest.fixture
def search(tmp_path):
    def opened(space=None, **budget):
        return SearchByHand(tmp_path, space=space, budget=budget or {"trials": 50})

    return opened


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
    assert one.loop.report(report(job)) == decision
    assert one.loop.ask() is None


def test_hours_spent_while_a_trial_runs_stop_it(search):
    one = search(hours=1.0)
    job = one.loop.ask()
    assert one.loop.report(report(job)).action is Action.CONTINUE
    one.loop._started_s -= 3600  # as if the trial had taken that long
    decision = one.loop.report(report(job))
    assert decision.action is Action.STOP
    assert decision.reason == "budget of 1 h spent"
    assert one.loop.stop() == decision
    assert one.loop.ask() is None


@pytest.mark.parametrize(("earlier_s", "may_start"), [(3000.0, True), (3600.0, False)])
def test_the_hours_of_earlier_sessions_count(tmp_path, earlier_s, may_start):
    one = SearchByHand(tmp_path, budget={"hours": 1.0}, earlier_s=earlier_s)
    assert (one.loop.ask() is not None) is may_start


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
    assert one.loop.report(report(running)).action is Action.INTERRUPT
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

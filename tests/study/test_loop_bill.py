from dataclasses import replace

import pytest
from searches_by_hand import KnownSession, conditional_space, line, mark, open_ledger, outcome

from ecoautoml.config import load_config
from ecoautoml.records.trial_result import TrialState
from ecoautoml.strategies.pruners import NoPruner
from ecoautoml.study.budget import Spent
from ecoautoml.study.loop import SearchLoop


@pytest.fixture
def session(tmp_path):
    """Return a function that opens the search again, as a new process would."""

    def opened(**budget):
        tree = {"data": "digits", "space": "tiny", "sampler": "random", "budget": budget}
        ledger = open_ledger(tmp_path)
        return SearchLoop(
            config=load_config(tree),
            space=conditional_space(),
            ledger=ledger,
            pruner=NoPruner(),
            planner=None,
            epochs_for=lambda proposal: 3,
            session=KnownSession(ledger, line("worker start", 0.5)),
            observer=lambda snapshot: None,
            should_interrupt=lambda: False,
            earlier=Spent(trials=0, elapsed_s=0.0, energy_j=None),
        )

    return opened


def finish(loop, job, energy_j):
    loop.tell(replace(outcome(job), number=job.number, energy=(line("training", energy_j),)))


def test_a_running_trial_is_on_the_bill_as_far_as_it_has_come_and_then_with_its_result(session):
    loop = session(trials=5)
    job = loop.ask()
    loop.mark(mark(job.number, 1.0))
    loop.mark(mark(job.number, 2.0))
    assert loop.spent().energy_j == 2.5
    finish(loop, job, 3.0)
    assert loop.spent().energy_j == 3.5


def test_what_a_killed_attempt_used_stays_on_the_bill_while_the_trial_is_run_again(session):
    first = session(trials=5)
    job = first.ask()
    first.mark(mark(job.number, 4.0))
    again = session(trials=5)
    assert again.spent().energy_j == 4.5
    assert again.ask() == job
    again.mark(mark(job.number, 1.0))
    assert again.spent().energy_j == 5.5
    finish(again, job, 3.0)
    assert again.spent().energy_j == session(trials=5).spent().energy_j == 7.5


def test_an_interrupted_attempt_stays_on_the_bill_too(session):
    loop = session(trials=5)
    job = loop.ask()
    loop.mark(mark(job.number, 1.0))
    interrupted = replace(outcome(job), state=TrialState.INTERRUPTED)
    loop.tell(replace(interrupted, energy=(line("training", 2.0),)))
    assert loop.spent().energy_j == session(trials=5).spent().energy_j == 2.5


def test_a_resumed_search_runs_the_trials_that_are_left(session):
    loop = session(trials=3)
    finish(loop, loop.ask(), 1.0)
    running = loop.ask()
    again = session(trials=3)
    numbers = []
    while (job := again.ask()) is not None:
        numbers.append(job.number)
        finish(again, job, 1.0)
    assert numbers == [running.number, 2]
    assert session(trials=3).ask() is None

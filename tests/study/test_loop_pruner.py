"""What follows in a search when its pruner says that a trial is to be stopped."""

import optuna
import pytest
from searches_by_hand import SearchByHand, open_ledger, report

from ecoautoml.records.progress import CONTINUE, Action, Decision
from ecoautoml.records.trial_result import STATE_AFTER, TrialState
from ecoautoml.strategies.base import Pruner


class StopsFrom(Pruner):
    """Stops every trial from an epoch on, and keeps what it was asked."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.asked = []

    def decide(self, trial, history):
        epochs = [each.epoch for each in trial.curve]
        self.asked.append((epochs, [each.number for each in history.finished]))
        if trial.epoch < self.epoch:
            return CONTINUE
        return Decision(action=Action.PRUNE, reason="out of reach")


@pytest.fixture
def search(tmp_path):
    def opened(epoch, *, is_shadow=False):
        return SearchByHand(tmp_path, pruner=StopsFrom(epoch), is_shadow=is_shadow)

    return opened


def test_a_trial_is_told_to_stop_as_soon_as_the_pruner_says_so(search):
    one = search(2)
    job = one.loop.ask()
    answers = [one.loop.report(report(job, epoch)) for epoch in range(3)]
    assert answers == [CONTINUE, CONTINUE, Decision(action=Action.PRUNE, reason="out of reach")]


def test_a_stopped_trial_is_pruned_in_the_ledger_and_for_optuna(search, tmp_path):
    one = search(1)
    job = one.loop.ask()
    decision = one.loop.report(report(job))
    one.tell(job, STATE_AFTER[decision.action], reason=decision.reason)
    (result,) = open_ledger(tmp_path).results()
    assert (result.state, result.reason) == (TrialState.PRUNED, "out of reach")
    assert result.would_have_stopped is None
    study = optuna.load_study(study_name="test", storage=f"sqlite:///{tmp_path / 'ledger.db'}")
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.PRUNED]


def test_the_pruner_sees_the_trials_own_curve_and_all_finished_trials(search):
    one = search(9)
    first, second = one.loop.ask(), one.loop.ask()
    one.loop.report(report(first, 0))
    one.loop.report(report(second, 0))
    one.loop.report(report(first, 1))
    one.tell(first)
    one.loop.report(report(second, 1))
    assert one.loop.pruner.asked == [([0], []), ([0], []), ([0, 1], []), ([0, 1], [0])]


def test_a_shadowing_pruner_stops_nothing_and_its_first_word_is_noted(search, tmp_path):
    one = search(1, is_shadow=True)
    job = one.loop.ask()
    answers = [one.loop.report(report(job, epoch)) for epoch in range(4)]
    assert [answer.action for answer in answers] == [Action.CONTINUE] * 4
    one.tell(job)
    (result,) = open_ledger(tmp_path).results()
    assert result.state is TrialState.COMPLETE
    assert result.would_have_stopped == 1


def test_what_a_shadowing_pruner_would_let_run_is_not_noted(search):
    one = search(1, is_shadow=True)
    stopped, running = one.loop.ask(), one.loop.ask()
    one.loop.report(report(stopped, 1))
    one.loop.report(report(running, 0))
    one.tell(running)
    one.tell(stopped)
    assert [each.would_have_stopped for each in one.ledger.results()] == [1, None]

"""What every registered pruner promises."""

import copy

import pytest
from pydantic import TypeAdapter

from ecoautoml.config.models import PrunerConfig
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.pruners import PRUNERS, make_pruner

TWO = ("validation_accuracy", "inference_energy_j")
THREE = ("validation_accuracy", "validation_macro_f1", "latency_ms")
CONFIGS = TypeAdapter(PrunerConfig)
pytestmark = [
    pytest.mark.parametrize("kind", PRUNERS),
    pytest.mark.parametrize("objectives", [TWO, THREE], ids=["two", "three"]),
]


NOBODY = Candidate(space="s", builder="b", architecture={}, hyperparameters={})


def pruner(kind, objectives):
    return make_pruner(CONFIGS.validate_python(kind), objectives)


def metrics(score, cost):
    return {
        "validation_accuracy": score,
        "validation_macro_f1": score,
        "inference_energy_j": cost,
        "latency_ms": cost,
    }


def costs(cost):
    return {"inference_energy_j": cost, "latency_ms": cost}


def trial(score, cost, epochs=8, until=8, number=99):
    reports = tuple(curve(score, cost, epochs, until, number))
    return Running(number=number, candidate=NOBODY, epochs=epochs, curve=reports)


def curve(score, cost, epochs=8, until=8, number=99):
    probe = Progress(trial=number, epoch=0, epochs=epochs, metrics=costs(cost))
    rising = [
        Progress(
            trial=number,
            epoch=epoch,
            epochs=epochs,
            metrics=metrics(score * epoch / epochs, cost),
        )
        for epoch in range(1, until + 1)
    ]
    return [probe, *rising]


def history():
    """Return trials of every state, with and without metrics and curves."""
    whole = [
        TrialResult(
            number=number,
            state=TrialState.COMPLETE,
            candidate=NOBODY,
            metrics=metrics(0.8 + number / 100, 1.0 + number),
            curve=tuple(curve(0.8 + number / 100, 1.0 + number, number=number)),
        )
        for number in range(6)
    ]
    partial = [
        TrialResult(number=10 + index, state=state, candidate=NOBODY, metrics=costs(0.1))
        for index, state in enumerate(TrialState)
    ]
    bare = [
        TrialResult(number=20 + index, state=state, candidate=NOBODY)
        for index, state in enumerate(TrialState)
    ]
    return History(finished=[*whole, *partial, *bare])


def test_it_is_a_pruner(kind, objectives):
    assert isinstance(pruner(kind, objectives), Pruner)


def test_it_answers_every_report_of_every_trial(kind, objectives):
    one = pruner(kind, objectives)
    for score in (0.0, 0.5, 1.0):
        for until in range(9):
            decision = one.decide(trial(score, 3.0, until=until), history())
            assert isinstance(decision, Decision)
            assert decision.action in (Action.CONTINUE, Action.PRUNE)
            assert decision.reason or decision.action is Action.CONTINUE


def test_it_stops_nothing_without_a_history_nor_at_the_probe(kind, objectives):
    one = pruner(kind, objectives)
    for until in range(9):
        assert one.decide(trial(0.0, 3.0, until=until), History()).action is Action.CONTINUE
    assert one.decide(trial(0.0, 3.0, until=0), history()).action is Action.CONTINUE


def test_it_never_stops_what_is_best_in_everything(kind, objectives):
    one = pruner(kind, objectives)
    for until in range(9):
        best = trial(0.99, 0.01, until=until)
        assert one.decide(best, history()).action is Action.CONTINUE


def test_it_keeps_no_state(kind, objectives):
    used, others = pruner(kind, objectives), history()
    for score in (0.9, 0.1, 0.5, 0.1):
        for until in (8, 5, 2, 5):
            now = trial(score, 3.0, until=until)
            fresh = pruner(kind, objectives).decide(now, others)
            assert used.decide(now, others) == fresh


def test_it_changes_nothing_it_is_given(kind, objectives):
    now, others = trial(0.1, 3.0, until=5), history()
    before = copy.deepcopy((now, others))
    pruner(kind, objectives).decide(now, others)
    assert (now, others) == before

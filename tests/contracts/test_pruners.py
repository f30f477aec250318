"""What every registered pruner promises."""

import copy
from dataclasses import replace

import pytest
from made_up_searches import MadeUpSearch, shuffled
from pydantic import TypeAdapter

from ecoautoml.config.models import PrunerConfig
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.records.turn import Move
from ecoautoml.strategies.base import GoOn, History, Pruner, Running
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
    return make_pruner(CONFIGS.validate_python(kind), objectives, seed=3)


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
            assert decision.action in (Action.CONTINUE, Action.PAUSE, Action.PRUNE)
            assert decision.reason or decision.action is Action.CONTINUE


def test_it_stops_nothing_without_a_history_nor_at_the_probe(kind, objectives):
    one = pruner(kind, objectives)
    for until in range(9):
        assert one.decide(trial(0.0, 3.0, until=until), History()).action is not Action.PRUNE
    assert one.decide(trial(0.0, 3.0, until=0), history()).action is Action.CONTINUE


def test_it_never_stops_what_is_best_in_everything(kind, objectives):
    one = pruner(kind, objectives)
    for until in range(9):
        best = trial(0.99, 0.01, until=until)
        assert one.decide(best, history()).action is not Action.PRUNE


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


# --- whole searches, over made-up trainings -------------------------------------------------------


@pytest.fixture(params=range(4))
def searched(request, kind, objectives):
    return MadeUpSearch(pruner(kind, objectives), seed=request.param).run()


def test_no_trial_is_lost(searched):
    assert len({*searched.finished, *searched.paused}) == searched.trials
    assert not searched.running
    states = {one.state for one in searched.finished.values()}
    assert TrialState.COMPLETE in states


def test_what_is_halted_has_been_trained_and_not_to_its_end(searched):
    halted = [one for one, _, decision in searched.decided if decision.action is Action.PAUSE]
    assert all(0 < one.epoch < one.epochs for one in halted)
    assert len({(one.number, one.epoch) for one in halted}) == len(halted)  # once at each place


def test_what_goes_on_was_halted_and_the_reason_is_told(searched):
    for before, step in searched.promoted:
        assert step is None or isinstance(step, GoOn)
        if step is not None:
            halted = {one.number: one for one in before.paused}
            assert step.turn.move is Move.GO_ON
            assert step.turn.epoch == halted[step.number].epochs
            assert step.turn.reason


def test_what_still_waits_at_the_end_was_not_to_go_on(searched):
    assert searched.pruner.promote(searched.history()) is None


def test_a_pruner_made_anew_says_the_same(searched, kind, objectives):
    for one, before, decision in searched.decided:
        assert pruner(kind, objectives).decide(one, before) == decision
    for before, step in searched.promoted:
        assert pruner(kind, objectives).promote(before) == step


def test_the_order_of_the_trials_does_not_matter(searched, kind, objectives):
    for index, (one, before, decision) in enumerate(searched.decided):
        again = pruner(kind, objectives).decide(one, shuffled(before, index))
        assert (again.action, again.is_withheld) == (decision.action, decision.is_withheld)
    for index, (before, step) in enumerate(searched.promoted):
        again = pruner(kind, objectives).promote(shuffled(before, index))
        assert (again and again.number) == (step and step.number)


def test_whether_a_trial_is_among_those_running_makes_no_difference(searched, kind, objectives):
    for one, before, decision in searched.decided:
        others = [each for each in before.running if each.number != one.number]
        without = replace(before, running=others)
        assert pruner(kind, objectives).decide(one, without) == decision

"""The default pruner: what it stops, what it lets run on, and what it says of it."""

import random
from dataclasses import replace

import pytest

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import CONTINUE, Action, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Running
from ecoautoml.strategies.calibration import Calibration
from ecoautoml.strategies.curve_pruner import CurvePruner, calibrate

SCORE, COST = "validation_accuracy", "inference_energy_j"
NOBODY = Candidate(space="s", builder="b", architecture={}, hyperparameters={})
EPOCHS = 10


def pruner(*, alpha=0.05, control_share=0.0, seed=0, objectives=(SCORE, COST)):
    return CurvePruner(objectives=objectives, alpha=alpha, control_share=control_share, seed=seed)


def scores(final, n=EPOCHS, noise=0.0, chance=None):
    """Return a curve whose error falls as a power of the epoch, down to 1 - final."""
    chance = chance or random.Random(0)
    return [
        1 - (1 - final) * (EPOCHS / epoch) ** 0.7 * (1 + noise * chance.gauss(0, 1))
        for epoch in range(1, n + 1)
    ]


def reports(values, cost, number):
    probe = Progress(trial=number, epoch=0, epochs=EPOCHS, metrics={COST: cost})
    later = [
        Progress(trial=number, epoch=epoch, epochs=EPOCHS, metrics={COST: cost, SCORE: value})
        for epoch, value in enumerate(values, start=1)
    ]
    return (probe, *later)


def finished(number, final, cost=1.0, *, state=TrialState.COMPLETE, until=EPOCHS, **more):
    values = scores(final, until, 0.03, random.Random(number))
    metrics = {COST: cost, **({SCORE: values[-1]} if state is TrialState.COMPLETE else {})}
    return TrialResult(
        number=number,
        state=state,
        candidate=NOBODY,
        metrics=metrics,
        curve=reports(values, cost, number),
        epochs=until,
        **more,
    )


def study(n=16):
    return History(finished=[finished(number, 0.90 + 0.004 * number) for number in range(n)])


def running(final, epoch, cost=2.0, number=99):
    values = scores(final, epoch, 0.02, random.Random(number))
    return Running(
        number=number, candidate=NOBODY, epochs=EPOCHS, curve=reports(values, cost, number)
    )


def test_what_cannot_reach_a_cheaper_model_is_stopped_with_its_chances():
    decision = pruner().decide(running(0.70, 4), study())
    assert decision.action is Action.PRUNE
    assert "chance" in decision.reason
    figures = decision.figures
    assert figures["chance_to_join"] < figures["threshold"] <= 0.05
    assert figures["forecast_score"] == pytest.approx(0.70, abs=0.08)
    assert figures["forecast_score_low"] < figures["forecast_score"]


def test_what_may_still_be_best_goes_on():
    for epoch in range(1, EPOCHS):
        assert pruner().decide(running(0.97, epoch), study()) == CONTINUE


def test_what_is_cheaper_than_every_finished_model_goes_on():
    assert pruner().decide(running(0.30, 5, cost=0.5), study()) == CONTINUE


def test_a_smaller_stated_risk_stops_later():
    def first_stop(alpha):
        for epoch in range(1, EPOCHS):
            if pruner(alpha=alpha).decide(running(0.88, epoch), study()).action is Action.PRUNE:
                return epoch
        return EPOCHS

    assert first_stop(0.2) <= first_stop(0.05) <= first_stop(0.001)
    assert first_stop(0.2) < EPOCHS


def test_nothing_is_stopped_while_too_few_have_finished():
    for n in range(6):
        assert pruner().decide(running(0.3, 5), study(n)) == CONTINUE
    assert pruner().decide(running(0.3, 5), study(6)).action is Action.PRUNE


def test_a_share_of_those_that_would_be_stopped_runs_on():
    pruned = [finished(30 + i, 0.5, state=TrialState.PRUNED, until=2) for i in range(9)]
    one, others = pruner(control_share=0.25), History(finished=[*study().finished, *pruned])
    decisions = [one.decide(running(0.6, 4, number=number), others) for number in range(100, 300)]
    withheld = [decision.is_withheld for decision in decisions]
    assert all(
        (decision.action is Action.CONTINUE) == decision.is_withheld for decision in decisions
    )
    assert 25 < sum(withheld) < 80
    again = [pruner(control_share=0.25).decide(running(0.6, 4, number=n), others) for n in (100, 7)]
    assert again[0] == decisions[0]


def test_of_the_first_that_would_be_stopped_more_run_on():
    def watched(*before, share=0.1):
        history = History(finished=[*study().finished, *before])
        one = pruner(control_share=share)
        numbers = range(100, 300)
        return sum(one.decide(running(0.6, 4, number=n), history).is_withheld for n in numbers)

    pruned = [finished(30 + i, 0.5, state=TrialState.PRUNED, until=2) for i in range(20)]
    control = finished(50, 0.5, would_have_stopped=3)
    assert watched() == 200  # nothing is known yet of how often a stop is wrong
    assert 60 < watched(control) < 140
    assert 60 < watched(pruned[0]) < 140
    assert 5 < watched(*pruned) < 40
    assert watched(share=0.0) == 0


def test_a_running_control_counts_among_those_that_would_have_been_stopped():
    other = replace(running(0.6, 6, number=98), would_have_stopped=3)
    trial, known = running(0.6, 4), study().finished
    figures = [
        pruner(control_share=0.1, seed=seed).decide(trial, History(finished=known, running=[other]))
        for seed in range(60)
    ]
    assert 15 < sum(one.is_withheld for one in figures) < 45


def test_few_finished_models_cannot_tell_of_a_small_risk():
    def first(n_models, alpha):
        return pruner(alpha=alpha).decide(running(0.3, 5), study(n_models)).action

    assert first(7, 0.05) is Action.PRUNE
    assert first(7, 0.002) is Action.CONTINUE


def test_the_control_group_is_counted_against_the_front():
    good = finished(50, 0.99, would_have_stopped=3)
    bad = finished(51, 0.5, would_have_stopped=3)
    running_on = finished(52, 0.5, state=TrialState.STOPPED, would_have_stopped=3)
    found = calibrate([*study().finished, good, bad, running_on], (SCORE, COST), 0.05)
    assert (found.controls, found.wrong) == (2, 1)
    assert found.threshold < Calibration(alpha=0.05).threshold


def test_what_was_wrong_when_it_ended_stays_wrong_when_a_later_trial_is_better():
    good = finished(50, 0.97, would_have_stopped=3)
    better = finished(51, 0.99)
    for known in ([good], [good, better], [better, good]):
        found = calibrate([*study().finished, *known], (SCORE, COST), 0.05)
        assert (found.controls, found.wrong) == (1, 1)
    before = finished(20, 0.99)
    found = calibrate([*study().finished, before, good], (SCORE, COST), 0.05)
    assert (found.controls, found.wrong) == (1, 0)


def test_wrong_stops_make_it_careful():
    # models that were to be stopped and came to be best, each in its corner of the front
    lucky = [
        finished(60 + i, 0.5 + 0.03 * i, cost=0.1 + 0.05 * i, would_have_stopped=2)
        for i in range(8)
    ]
    calibration = calibrate([*study().finished, *lucky], (SCORE, COST), 0.05)
    assert (calibration.controls, calibration.wrong) == (8, 8)
    warned = History(finished=[*study().finished, *lucky])
    assert calibration.threshold < 0.01 * Calibration(alpha=0.05).threshold
    assert pruner().decide(running(0.5, 4), study()).action is Action.PRUNE
    assert pruner().decide(running(0.5, 4), warned).action is Action.CONTINUE


def test_trials_that_wait_are_learnt_from_as_those_that_were_stopped():
    pruned = [finished(80 + i, 0.6, state=TrialState.PRUNED, until=7) for i in range(5)]
    paused = [replace(one, state=TrialState.PAUSED) for one in pruned]
    trial = running(0.75, 3)
    stopped, waiting = (
        pruner(alpha=0.999).decide(trial, each).figures
        for each in (
            History(finished=[*study().finished, *pruned]),
            History(finished=study().finished, paused=paused),
        )
    )
    assert waiting == pytest.approx(stopped)


def test_a_trial_trained_to_its_end_that_broke_a_limit_has_an_end_to_learn_from():
    broke = [finished(90 + i, 0.9, state=TrialState.INFEASIBLE) for i in range(5)]
    decision = pruner().decide(running(0.70, 4), History(finished=[*study().finished, *broke]))
    assert decision.action is Action.PRUNE

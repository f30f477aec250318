import random
from dataclasses import replace

import pytest

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import CONTINUE, Action, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Running
from ecoautoml.strategies.dominance import DominancePruner

SCORE, COST = "validation_accuracy", "inference_energy_j"
NOBODY = Candidate(space="s", builder="b", architecture={}, hyperparameters={})


def pruner(*, objectives=(SCORE, COST), warmup_fraction=0.15, min_curves=3, margin=0.002):
    return DominancePruner(
        objectives=objectives,
        warmup_fraction=warmup_fraction,
        min_curves=min_curves,
        margin=margin,
    )


def reports(scores, *, epochs=10, costs=None, names=(SCORE,), number=99):
    """Return a trial's reports: the probe, and one per score."""
    costs = {COST: 2.0} if costs is None else costs
    probe = Progress(trial=number, epoch=0, epochs=epochs, metrics=costs)
    return [
        probe,
        *(
            replace(probe, epoch=epoch, metrics={**costs, **dict.fromkeys(names, score)})
            for epoch, score in enumerate(scores, start=1)
        ),
    ]


def finished(number, scores, *, costs=None, names=(SCORE,), state=TrialState.COMPLETE, **metrics):
    """Return a trial that has ended with its last score."""
    costs = {COST: 1.0} if costs is None else costs
    final = {**costs, **dict.fromkeys(names, scores[-1]), **metrics}
    curve = reports(scores, epochs=len(scores), costs=costs, names=names, number=number)
    return TrialResult(
        number=number, state=state, candidate=NOBODY, metrics=final, curve=tuple(curve)
    )


def halving(final_error, epochs=10):
    """Return scores whose error falls by half between mid-training and the end.

    The error falls on a straight line to mid-training, so it is 2 x final at 5 of 10 epochs.
    """
    middle = epochs // 2
    first = [1 - (0.9 - (0.9 - 2 * final_error) * e / middle) for e in range(1, middle + 1)]
    second = [1 - final_error * (2 - (e - middle) / middle) for e in range(middle + 1, epochs + 1)]
    return [*first, *second]


GOOD = [finished(number, halving(0.05)) for number in range(3)]
"""Cheap models of 95 %, whose error halved in the second half of their training."""


def running(curve):
    return Running(number=99, candidate=NOBODY, epochs=10, curve=tuple(curve))


def decide(scores, others=GOOD, **settings):
    costs = settings.pop("costs", None)
    names = settings.get("objectives", (SCORE,))
    names = tuple(name for name in names if name.startswith("validation_"))
    trial = running(reports(scores, costs=costs, names=names))
    return pruner(**settings).decide(trial, History(finished=others))


def test_a_trial_out_of_reach_of_a_cheaper_model_is_stopped_with_the_reason():
    decision = decide([0.5, 0.6, 0.7, 0.75, 0.8])
    assert decision.action is Action.PRUNE
    assert decision.reason == (
        "after epoch 5 of 10 at best 0.9000 validation_accuracy to come; "
        "trial 0 has 0.9500 for no more cost"
    )


@pytest.mark.parametrize(
    ("score", "action"),
    [(0.895, Action.PRUNE), (0.905, Action.CONTINUE), (0.95, Action.CONTINUE)],
)
def test_the_forecast_decides_and_not_the_present_score(score, action):
    # at mid-training errors halve: 0.895 will be 0.9475 at best, 0.905 will be 0.9525
    assert decide([0.5, 0.6, 0.7, 0.8, score]).action is action


def test_the_most_favourable_curve_makes_the_forecast():
    late = finished(7, [0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.92])
    # its error fell to a tenth: from 0.8 at mid-training to 0.08
    assert decide([0.1, 0.2, 0.3, 0.4, 0.6], [*GOOD, late]).action is Action.CONTINUE
    assert decide([0.1, 0.2, 0.3, 0.4, 0.45], [*GOOD, late]).action is Action.PRUNE


def test_curves_are_compared_by_share_of_training_and_not_by_epoch():
    short = [finished(number, halving(0.05, epochs=4)) for number in range(3)]
    assert decide([0.5, 0.6, 0.7, 0.8, 0.895], short).action is Action.PRUNE
    assert decide([0.5, 0.6, 0.7, 0.8, 0.905], short).action is Action.CONTINUE


def test_a_curve_that_grew_worse_does_not_spoil_the_forecast():
    worse = [finished(number, [*halving(0.05)[:-1], 0.75], **{SCORE: 0.75}) for number in range(3)]
    rival = finished(9, [0.81], **{SCORE: 0.81})  # one report tells nothing about curves
    # errors of 0.1 grew to 0.25; the forecast stays at what the trial has already
    assert decide([0.5, 0.6, 0.7, 0.8, 0.82], [*worse, rival]).action is Action.CONTINUE
    assert decide([0.5, 0.6, 0.7, 0.8, 0.8], [*worse, rival]).action is Action.PRUNE


@pytest.mark.parametrize("cost", [0.99, 0.1])
def test_a_trial_cheaper_than_every_rival_is_never_stopped(cost):
    for epoch in range(1, 11):
        assert decide([0.1] * epoch, costs={COST: cost}) is CONTINUE


def test_equal_cost_is_no_advantage():
    assert decide([0.1] * 5, costs={COST: 1.0}).action is Action.PRUNE


@pytest.mark.parametrize("count", [0, 1, 2])
def test_nothing_is_stopped_with_fewer_than_min_curves(count):
    for epoch in range(1, 10):
        assert decide([0.1] * epoch, GOOD[:count]) is CONTINUE
    assert decide([0.1] * 5, GOOD, min_curves=3).action is Action.PRUNE
    assert decide([0.1] * 5, GOOD, min_curves=4) is CONTINUE


@pytest.mark.parametrize("state", [s for s in TrialState if s is not TrialState.COMPLETE])
def test_only_complete_trials_teach_curves_and_are_rivals(state):
    others = [replace(result, state=state) for result in GOOD]
    assert decide([0.1] * 5, others, min_curves=1) is CONTINUE


def test_nothing_is_stopped_in_the_warm_up():
    stopped = [
        epoch
        for epoch in range(1, 11)
        if decide([0.1] * epoch, warmup_fraction=0.4).action is Action.PRUNE
    ]
    assert stopped == [5, 6, 7, 8, 9]


def test_nothing_is_stopped_at_the_probe_nor_at_the_last_epoch():
    assert decide([], warmup_fraction=0.0) is CONTINUE
    assert decide([0.1], warmup_fraction=0.0).action is Action.PRUNE
    assert decide([0.1] * 9).action is Action.PRUNE
    assert decide([0.1] * 10) is CONTINUE


def test_a_forecast_within_the_margin_goes_on():
    scores = [0.5, 0.6, 0.7, 0.8, 0.89]  # at best 0.945, where the rival has 0.95
    assert decide(scores, margin=0.002).action is Action.PRUNE
    assert decide(scores, margin=0.006) is CONTINUE


def test_a_trial_must_be_beaten_in_every_score():
    names = (SCORE, "validation_macro_f1")
    others = [finished(number, halving(0.05), names=names) for number in range(3)]
    uneven = [replace(o, metrics={**o.metrics, "validation_macro_f1": 0.5}) for o in others]
    objectives = (*names, COST)
    assert decide([0.5] * 5, others, objectives=objectives).action is Action.PRUNE
    assert decide([0.8] * 5, uneven, objectives=objectives) is CONTINUE


def test_a_rival_must_be_no_dearer_in_every_cost():
    objectives, now = (SCORE, COST, "params"), {COST: 2.0, "params": 100.0}

    def against(**costs):
        others = [finished(number, halving(0.05), costs=costs) for number in range(3)]
        return decide([0.1] * 5, others, objectives=objectives, costs=now).action

    assert against(**{COST: 1.0, "params": 100.0}) is Action.PRUNE
    assert against(**{COST: 1.0, "params": 101.0}) is Action.CONTINUE
    assert against(**{COST: 2.1, "params": 1.0}) is Action.CONTINUE


def test_an_unknown_cost_stops_nothing():
    assert decide([0.1] * 5, costs={}) is CONTINUE
    assert decide([0.1] * 5, [finished(n, halving(0.05), costs={}) for n in range(3)]) is CONTINUE


def test_without_a_cost_among_the_objectives_scores_alone_decide():
    assert decide([0.1] * 5, objectives=(SCORE,), costs={}).action is Action.PRUNE


def test_a_rival_that_is_not_on_the_front_can_still_stop_a_trial():
    weak = finished(8, halving(0.2), costs={COST: 0.5})
    assert decide([0.1] * 5, [*GOOD, weak], costs={COST: 0.7}).action is Action.PRUNE


def test_a_perfect_model_leads_to_no_division_by_zero():
    perfect = [finished(number, [0.5, 1.0, 1.0, 1.0]) for number in range(3)]
    assert decide([1.0] * 5, perfect) is CONTINUE
    assert decide([0.1] * 5, perfect).action is Action.PRUNE


def test_equal_input_gives_equal_decisions_whatever_the_order_of_the_others():
    one = pruner()
    others = [*GOOD, *(finished(n, halving(n / 40), costs={COST: n / 4}) for n in range(4, 12))]
    shuffled = random.Random(0).sample(others, len(others))
    for level in range(20):
        first = decide([level / 20] * 5, others)
        assert decide([level / 20] * 5, others) == first
        trial = running(reports([level / 20] * 5))
        assert one.decide(trial, History(finished=others)) == first
        assert one.decide(trial, History(finished=shuffled)).action is first.action

from dataclasses import replace

import pytest
from made_up_searches import complete, curve, running, shuffled

from ecoautoml.records.progress import CONTINUE, Action
from ecoautoml.records.trial_result import TrialState
from ecoautoml.strategies.base import History
from ecoautoml.strategies.median import MedianPruner

SCORE, F1, COST = "validation_accuracy", "validation_macro_f1", "inference_energy_j"
LINE = [n / 8 for n in range(1, 9)]
"""Scores that rise evenly: after epoch n, (n + 1) / 16 on average."""


def models(*, at=1.0, count=5, scores=LINE):
    return [complete(scores, number=number, at=at) for number in range(count)]


def decide(scores, others=None, *, at=2.0, objectives=(SCORE, COST), min_curves=4, warmup=0.25):
    one = MedianPruner(objectives=objectives, warmup_fraction=warmup, min_curves=min_curves)
    trial = running(scores, number=99, epochs=8, at=at)
    return one.decide(trial, History(finished=models() if others is None else others))


@pytest.mark.parametrize(
    ("scores", "action"),
    [
        ([0.1, 0.1, 0.3], Action.CONTINUE),  # 1/8, 2/8 and 3/8 are 0.25 on average
        ([0.1, 0.1, 0.25], Action.CONTINUE),
        ([0.1, 0.1, 0.24], Action.PRUNE),
        ([0.26, 0.1, 0.1], Action.CONTINUE),  # its best counts
    ],
)
def test_the_best_score_is_held_against_the_median_of_the_averages(scores, action):
    assert decide(scores).action is action


def test_the_reason_names_both():
    assert decide([0.1, 0.1, 0.15]).reason == (
        "after epoch 3 of 8 at best 0.1500 validation_accuracy; "
        "the median of 5 finished models that cost no more was 0.2500 by then"
    )
    alone = decide([0.1] * 3, objectives=(SCORE,))
    assert "the median of 5 finished models was" in alone.reason


def test_half_of_the_finished_trials_must_have_been_better():
    low, high = [0.1] * 8, [0.9] * 8
    others = [complete(low if n < 3 else high, number=n) for n in range(5)]
    assert decide([0.2] * 3, others) == CONTINUE
    others = [complete(low if n < 2 else high, number=n) for n in range(5)]
    assert decide([0.2] * 3, others).action is Action.PRUNE


def test_curves_are_compared_by_share_of_training():
    twice_as_long = models(scores=[n / 16 for n in range(1, 17)])  # 0.21875 on average after 6
    assert decide([0.1, 0.1, 0.21], twice_as_long).action is Action.PRUNE
    assert decide([0.1, 0.1, 0.22], twice_as_long) == CONTINUE


def test_a_model_without_a_report_by_that_share_is_no_comparison():
    short = models(scores=[0.9, 0.9])  # its first report is at half of its training
    assert decide([0.1] * 3, short) == CONTINUE
    assert decide([0.1] * 4, short).action is Action.PRUNE


@pytest.mark.parametrize("cost", [0.99, 0.01])
def test_what_is_cheaper_than_the_others_is_never_stopped(cost):
    for epoch in range(1, 9):
        assert decide([0.0] * epoch, at=cost) == CONTINUE


def test_only_models_that_cost_no_more_count():
    cheap_and_poor, dear_and_good = models(scores=[0.05] * 8), models(at=3.0, count=9)
    assert decide([0.1] * 4, [*cheap_and_poor, *dear_and_good]) == CONTINUE
    assert decide([0.1] * 4, [*cheap_and_poor, *dear_and_good], at=3.0).action is Action.PRUNE
    assert decide([0.1] * 4, models(at=2.0)).action is Action.PRUNE  # equal is no more


def test_an_unknown_cost_stops_nothing():
    nameless = [replace(one, metrics={SCORE: 0.8}) for one in models()]
    assert decide([0.0] * 4, nameless) == CONTINUE
    assert decide([0.0] * 4, objectives=(SCORE, "latency_ms")) == CONTINUE


def test_every_score_must_be_below_its_median():
    def with_f1(one, factor):
        return tuple(
            replace(r, metrics={**r.metrics, F1: factor * r.metrics[SCORE]}) if r.epoch else r
            for r in one.curve
        )

    others = [replace(one, curve=with_f1(one, 1.0)) for one in models()]
    one = MedianPruner(objectives=(SCORE, F1, COST), warmup_fraction=0.25, min_curves=4)
    trial = running([0.15] * 3, number=99, epochs=8, at=2.0)
    even, uneven = (replace(trial, curve=with_f1(trial, factor)) for factor in (1.0, 2.0))
    assert one.decide(even, History(finished=others)).action is Action.PRUNE
    assert one.decide(uneven, History(finished=others)) == CONTINUE
    assert one.decide(trial, History(finished=others)) == CONTINUE  # not known is not below


@pytest.mark.parametrize("count", [0, 1, 3])
def test_nothing_is_stopped_with_fewer_than_min_curves(count):
    assert decide([0.0] * 4, models(count=count)) == CONTINUE
    assert decide([0.0] * 4, models(count=count), min_curves=max(1, count)).action is (
        Action.PRUNE if count else Action.CONTINUE
    )


@pytest.mark.parametrize("state", [s for s in TrialState if s is not TrialState.COMPLETE])
def test_only_complete_trials_count(state):
    assert decide([0.0] * 4, [replace(one, state=state) for one in models()]) == CONTINUE


def test_nothing_is_stopped_at_the_probe_in_the_warm_up_or_at_the_last_epoch():
    stopped = [
        epoch for epoch in range(9) if decide([0.0] * epoch, warmup=0.4).action is Action.PRUNE
    ]
    assert stopped == [4, 5, 6, 7]


def test_the_order_of_the_finished_does_not_matter():
    history = History(finished=[complete([n / 10] * 8, number=n) for n in range(9)])
    one = MedianPruner(objectives=(SCORE, COST), warmup_fraction=0.0, min_curves=1)
    trial = running([0.3, 0.3], number=99, epochs=8)
    expected = one.decide(trial, history)
    assert expected.action is Action.PRUNE
    assert [one.decide(trial, shuffled(history, n)) for n in range(5)] == [expected] * 5
    assert trial.curve == curve([0.3, 0.3], number=99, epochs=8)

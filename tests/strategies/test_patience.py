from dataclasses import replace

import pytest
from made_up_searches import complete, running, shuffled

from ecoautoml.records.progress import CONTINUE, Action
from ecoautoml.records.trial_result import TrialState
from ecoautoml.strategies.base import History
from ecoautoml.strategies.patience import PatiencePruner

SCORE, F1, COST = "validation_accuracy", "validation_macro_f1", "inference_energy_j"
GOOD = [complete([0.9] * 10, number=number, at=1.0) for number in range(2)]


def decide(scores, others=GOOD, *, at=2.0, objectives=(SCORE, COST), warmup=0.0, **settings):
    settings = {"epochs": 3, "min_delta": 0.01, **settings}
    one = PatiencePruner(objectives=objectives, warmup_fraction=warmup, **settings)
    return one.decide(running(scores, number=99, epochs=10, at=at), History(finished=others))


def stopped_at(scores, others=GOOD, **settings):
    """Return the first epoch at which a trial is stopped, None when it never is."""
    for epoch in range(len(scores) + 1):
        if decide(scores[:epoch], others, **settings).action is Action.PRUNE:
            return epoch
    return None


def test_a_trial_on_a_plateau_below_a_model_that_costs_no_more_is_stopped_with_the_reason():
    decision = decide([0.3, 0.5, 0.5, 0.49, 0.5])
    assert decision.action is Action.PRUNE
    assert decision.reason == (
        "after epoch 5 of 10 at best 0.5000 validation_accuracy, no better since epoch 2; "
        "trial 0 has 0.9000 for no more cost"
    )


def test_the_best_model_that_costs_no_more_is_named():
    others = [complete([0.6 + n / 100] * 10, number=n) for n in (1, 3, 2)]
    reason = decide([0.5] * 4, others, objectives=(SCORE,)).reason
    assert reason.endswith("trial 3 has 0.6300")


@pytest.mark.parametrize(
    ("scores", "epoch"),
    [
        ([0.5] * 9, 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.5], 8),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85], None),
        ([0.5, 0.503, 0.506, 0.509], 4),  # in all less than min_delta
        ([0.5, 0.504, 0.508, 0.512, 0.516, 0.52], None),  # slow, but in three epochs enough
        ([0.5, 0.4, 0.3, 0.52, 0.5, 0.5, 0.5], 7),
    ],
)
def test_a_plateau_is_when_nothing_has_got_better_for_so_many_epochs(scores, epoch):
    assert stopped_at(scores) == epoch


def test_patience_is_in_epochs():
    assert [stopped_at([0.5] * 9, epochs=n) for n in (1, 2, 5, 8, 9)] == [2, 3, 6, 9, None]


def test_a_plateau_alone_is_no_reason():
    assert stopped_at([0.5] * 10, []) is None
    assert stopped_at([0.95] * 10) is None
    assert stopped_at([0.9] * 10) is None
    assert stopped_at([0.895] * 10) is None  # below by less than min_delta
    assert stopped_at([0.885] * 10) == 4


@pytest.mark.parametrize("cost", [0.99, 0.01])
def test_what_is_cheaper_than_the_others_is_never_stopped(cost):
    assert stopped_at([0.1] * 10, at=cost) is None


def test_an_unknown_cost_stops_nothing():
    assert stopped_at([0.1] * 10, objectives=(SCORE, "latency_ms")) is None
    assert stopped_at([0.1] * 10, [replace(one, metrics={SCORE: 0.9}) for one in GOOD]) is None


def test_every_score_must_be_on_a_plateau_and_below():
    one = PatiencePruner(
        objectives=(SCORE, F1, COST), epochs=3, min_delta=0.01, warmup_fraction=0.0
    )
    others = [replace(each, metrics={**each.metrics, F1: 0.8}) for each in GOOD]
    trial = running([0.5] * 5, number=99, epochs=10, at=2.0)

    def with_f1(scores):
        later = zip(trial.curve[1:], scores, strict=True)
        reports = [replace(r, metrics={**r.metrics, F1: value}) for r, value in later]
        return one.decide(
            replace(trial, curve=(trial.curve[0], *reports)), History(finished=others)
        )

    assert with_f1([0.5] * 5).action is Action.PRUNE
    assert with_f1([0.1, 0.2, 0.3, 0.4, 0.5]) == CONTINUE
    assert with_f1([0.85] * 5) == CONTINUE
    assert one.decide(trial, History(finished=others)) == CONTINUE  # one score is not known


@pytest.mark.parametrize("state", [s for s in TrialState if s is not TrialState.COMPLETE])
def test_only_complete_models_count(state):
    assert stopped_at([0.1] * 10, [replace(one, state=state) for one in GOOD]) is None


def test_nothing_is_stopped_in_the_warm_up_or_at_the_last_epoch():
    stopped = [
        epoch for epoch in range(11) if decide([0.1] * epoch, warmup=0.5).action is Action.PRUNE
    ]
    assert stopped == [6, 7, 8, 9]


def test_the_order_of_the_finished_does_not_matter():
    history = History(finished=[complete([0.9] * 10, number=n) for n in range(6)])
    one = PatiencePruner(objectives=(SCORE, COST), epochs=3, min_delta=0.01, warmup_fraction=0.0)
    trial = running([0.5] * 6, number=99, epochs=10)
    expected = one.decide(trial, history)
    assert expected.action is Action.PRUNE
    assert [one.decide(trial, shuffled(history, n)) for n in range(5)] == [expected] * 5

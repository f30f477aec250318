from dataclasses import replace

import pytest
from made_up_searches import MadeUpSearch, complete, curve, ended, paused, running, shuffled

from ecoautoml.records.progress import CONTINUE, Action
from ecoautoml.records.trial_result import TrialState
from ecoautoml.records.turn import Move
from ecoautoml.strategies.base import History, Running
from ecoautoml.strategies.halving import HalvingPruner, Ladder

SCORE, COST = "validation_accuracy", "inference_energy_j"


def pruner(*, objectives=(SCORE,), reduction=3, min_share=0.1, ranking="eps-net", seed=0):
    ladder = Ladder.of(reduction, min_share)
    return HalvingPruner(objectives=objectives, ladder=ladder, ranking=ranking, seed=seed)


def waiting(*scores, epochs=9):
    """Return trials that wait at their first rung, epoch 1 of 9."""
    return [paused([score], number=number, epochs=epochs) for number, score in enumerate(scores)]


# --- rungs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reduction", "min_share", "epochs", "rungs"),
    [
        (3, 0.1, 81, {0: 9, 1: 27, 2: 81}),
        (3, 1 / 9, 81, {0: 9, 1: 27, 2: 81}),
        (3, 0.12, 81, {1: 81, 0: 27}),
        (2, 0.25, 16, {0: 4, 1: 8, 2: 16}),
        (16, 0.06, 200, {0: 13, 1: 200}),
        (3, 0.1, 5, {0: 1, 1: 2, 2: 5}),
        (3, 0.1, 4, {0: 1, 1: 2, 2: 4}),
    ],
)
def test_rungs_are_shares_of_the_epochs_rounded_up(reduction, min_share, epochs, rungs):
    assert Ladder.of(reduction, min_share).epochs_of(epochs) == rungs


def test_rungs_that_fall_on_one_epoch_are_the_highest_of_them():
    ladder = Ladder.of(3, 0.03)  # 1/27, 1/9, 1/3 and all
    assert ladder.epochs_of(27) == {0: 1, 1: 3, 2: 9, 3: 27}
    assert ladder.epochs_of(5) == {1: 1, 2: 2, 3: 5}
    assert ladder.epochs_of(1) == {3: 1}


@pytest.mark.parametrize("epochs", range(1, 200))
def test_every_ladder_begins_at_an_epoch_and_ends_at_the_last(epochs):
    for reduction in (2, 3, 5):
        ladder = Ladder.of(reduction, 0.01)
        rungs = ladder.epochs_of(epochs)
        assert rungs[ladder.last] == epochs
        assert list(rungs.values()) == sorted(set(rungs.values()))
        assert min(rungs.values()) >= 1
        for rung, epoch in rungs.items():
            assert epoch >= epochs / reduction ** (ladder.last - rung)
            assert epoch < epochs / reduction ** (ladder.last - rung) + 1


# --- halting --------------------------------------------------------------------------------------


def test_a_trial_is_halted_at_its_rungs_only_and_never_at_its_end():
    halted = []
    for epoch in range(10):
        trial = running([0.5] * epoch, number=9)
        if pruner().decide(trial, History()).action is Action.PAUSE:
            halted.append(epoch)
    assert halted == [1, 3]


def test_nobody_goes_on_before_there_are_as_many_as_the_reduction():
    decision = pruner().decide(running([0.9], number=9), History(paused=waiting(0.5)))
    assert decision.action is Action.PAUSE
    assert decision.reason == (
        "after epoch 1 of 9 in place 1 of 2; none goes on before there are 3"
    )


def test_one_of_the_best_is_not_halted_and_another_is_with_its_place():
    history = History(paused=waiting(0.1, 0.2, 0.3, 0.4, 0.5))
    assert pruner().decide(running([0.45], number=9), history) == CONTINUE
    decision = pruner().decide(running([0.35], number=9), history)
    assert decision.action is Action.PAUSE
    assert decision.reason == "after epoch 1 of 9 in place 3 of 6; the best 2 go on"


def test_the_score_at_the_rung_counts_and_not_what_came_after_it():
    faded = [complete([0.9, *[0.1] * 8], number=n) for n in range(2)]
    risen = [complete([0.1, *[0.9] * 8], number=n) for n in range(2)]
    trial = running([0.5], number=9)
    assert pruner().decide(trial, History(finished=faded)).action is Action.PAUSE
    assert pruner().decide(trial, History(finished=risen)).action is Action.CONTINUE


def test_costs_known_before_training_count_as_well():
    dear = [paused([0.5 + n / 10], number=n, at=100.0) for n in range(5)]
    cheap = running([0.1], number=9, at=1.0)
    assert pruner().decide(cheap, History(paused=dear)).action is Action.PAUSE
    two = pruner(objectives=(SCORE, COST), ranking="non-dominated")
    assert two.decide(cheap, History(paused=dear)).action is Action.CONTINUE


def test_costs_are_ranked_by_ratio_and_not_by_difference():
    """Three of nine go on: both ends, and whoever has more room between its neighbours."""
    front = {0: (0.2, 1.0), 1: (0.3, 10.0), 2: (0.4, 50.0), 3: (0.5, 100.0)}
    beaten = [paused([0.1], number=n, at=200.0) for n in range(4, 9)]

    def goes_on(number):
        others = [paused([front[n][0]], number=n, at=front[n][1]) for n in front if n != number]
        trial = running([front[number][0]], number=number, at=front[number][1])
        one = pruner(objectives=(SCORE, COST), ranking="non-dominated")
        return one.decide(trial, History(paused=[*others, *beaten])) == CONTINUE

    # from 1 to 50 J is farther than from 10 to 100 J, though it is fewer joules
    assert [goes_on(number) for number in front] == [True, True, False, True]


def test_trials_of_different_length_are_compared_at_equal_shares():
    long = [paused([0.1] * 8 + [0.2 + n / 10], number=n, epochs=81) for n in range(5)]
    assert pruner().decide(running([0.55], number=9), History(paused=long)) == CONTINUE
    decision = pruner().decide(running([0.45], number=9), History(paused=long))
    assert decision.reason == "after epoch 1 of 9 in place 3 of 6; the best 2 go on"


def test_a_short_training_is_compared_at_the_first_rung_it_has():
    one = pruner(min_share=0.03)
    first = [paused([0.9], number=n, epochs=27) for n in range(6)]
    second = [paused([0.1] * 3, number=n, epochs=27) for n in range(6)]
    trial = running([0.5], number=9, epochs=5)  # one epoch is more than 1/9 of five
    assert one.decide(trial, History(paused=first)).reason.endswith(
        "in place 1 of 1; none goes on before there are 3"
    )
    assert one.decide(trial, History(paused=second)) == CONTINUE


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.INFEASIBLE, TrialState.STOPPED])
def test_what_has_ended_early_counts_as_far_as_it_came(state):
    others = [ended([0.1, 0.1], state, number=n) for n in range(5)]
    assert pruner().decide(running([0.5], number=9), History(finished=others)) == CONTINUE
    third = pruner().decide(running([0.5] * 3, number=9), History(finished=others))
    assert third.reason.startswith("after epoch 3 of 9 in place 1 of 1;")


def test_what_was_never_trained_does_not_count():
    others = [ended([], TrialState.INFEASIBLE, number=n) for n in range(5)]
    reused = replace(complete([0.1] * 9), state=TrialState.REUSED, curve=())
    decision = pruner().decide(running([0.5], number=9), History(finished=[*others, reused]))
    assert decision.reason.startswith("after epoch 1 of 9 in place 1 of 1;")


def test_what_is_complete_before_its_last_epoch_counts_at_every_rung_with_its_last_score():
    plateaus = [
        replace(ended([0.3, 0.4], TrialState.COMPLETE, number=n), epochs=2) for n in range(2)
    ]
    assert (
        pruner().decide(running([0.1, 0.2, 0.5], number=9), History(finished=plateaus)) == CONTINUE
    )
    third = pruner().decide(running([0.1, 0.2, 0.35], number=9), History(finished=plateaus))
    assert third.reason == "after epoch 3 of 9 in place 3 of 3; the best one goes on"


def test_a_trial_that_begins_again_is_not_halted_where_it_was_before():
    again = Running(
        number=9,
        candidate=running([]).candidate,
        epochs=9,
        curve=(*curve([0.1, 0.1, 0.1], epochs=9), *curve([0.1], epochs=9)[1:]),
    )
    history = History(paused=waiting(*[0.5] * 6))
    assert pruner().decide(again, history) == CONTINUE
    thrice = replace(again, curve=(*again.curve, *curve([0.1] * 3, epochs=9)[2:]))
    assert pruner().decide(thrice, history) == CONTINUE
    fresh = running([0.1], number=9)
    assert pruner().decide(fresh, history).action is Action.PAUSE


# --- going on -------------------------------------------------------------------------------------


def test_the_best_of_those_that_wait_goes_on_with_the_reason():
    step = pruner().promote(History(paused=waiting(0.1, 0.5, 0.3, 0.2)))
    assert (step.number, step.turn.move, step.turn.epoch) == (1, Move.GO_ON, 1)
    assert step.turn.reason == "after epoch 1 of 9 in place 1 of 4; the best one goes on"


def test_whoever_has_gone_on_takes_a_place_of_the_best():
    first, *rest = waiting(0.9, 0.5, 0.3, 0.2, 0.1)
    gone = Running(number=0, candidate=first.candidate, epochs=9, curve=first.curve)
    assert pruner().promote(History(paused=rest, running=[gone])) is None
    sixth = paused([0.05], number=9)
    assert pruner().promote(History(paused=[*rest, sixth], running=[gone])).number == 1


def test_the_highest_rung_comes_first():
    low = waiting(0.9, 0.8, 0.7)
    high = [paused([0.1, 0.2, 0.3 + n / 100], number=10 + n) for n in range(3)]
    step = pruner().promote(History(paused=[*low, *high]))
    assert (step.number, step.turn.epoch) == (12, 3)
    assert pruner().promote(History(paused=[*low, *high[1:]])).number == 0


def test_nothing_goes_on_where_nothing_waits():
    done = [complete([n / 10] * 9, number=n) for n in range(9)]
    assert pruner().promote(History()) is None
    assert pruner().promote(History(finished=done)) is None
    assert pruner().promote(History(paused=waiting(0.1, 0.2))) is None


def test_a_trial_halted_by_somebody_else_between_rungs_waits_at_the_rung_before():
    others = [paused([0.1], number=n) for n in range(2)]
    between = paused([0.5, 0.6], number=7)
    step = pruner().promote(History(paused=[*others, between]))
    assert (step.number, step.turn.epoch) == (7, 2)
    before = paused([], number=8)  # halted before its first rung: not ours to judge
    assert pruner().promote(History(paused=[before, *waiting(0.1)])) is None


@pytest.mark.parametrize("ranking", ["eps-net", "non-dominated"])
def test_an_energy_that_no_meter_reads_leaves_the_scores_to_decide(ranking):
    nameless = [
        paused([score], number=n, cost="unasked") for n, score in enumerate((0.1, 0.5, 0.3))
    ]
    one = pruner(objectives=(SCORE, COST), ranking=ranking)
    assert one.promote(History(paused=nameless)).number == 1


def test_the_seed_decides_who_of_equals_is_first():
    equals = [paused([0.1 * n], number=n, at=10.0**n) for n in range(8)]
    numbers = {
        pruner(objectives=(SCORE, COST), seed=seed).promote(History(paused=equals)).number
        for seed in range(30)
    }
    assert len(numbers) > 3
    again = [
        pruner(objectives=(SCORE, COST), seed=5).promote(shuffled(History(paused=equals), n)).number
        for n in range(5)
    ]
    assert len(set(again)) == 1


# --- whole searches -------------------------------------------------------------------------------


@pytest.mark.parametrize("ranking", ["eps-net", "non-dominated"])
def test_few_trials_are_trained_to_their_end_and_they_are_the_good_ones(ranking):
    one = pruner(objectives=(SCORE, COST), ranking=ranking)
    search = MadeUpSearch(one, seed=1, trials=81, all_epochs=(27,), is_rough=False).run()
    assert len(search.finished) + len(search.paused) == 81
    assert {one.epochs for one in search.paused.values()} <= {3, 9}
    assert 81 / 9 <= len(search.finished) <= 81 / 3
    assert search.epochs_trained < 0.5 * 81 * 27
    final = [search.made[number]["best"] for number in range(81)]
    kept = [final[number] for number in search.finished]
    assert sum(kept) / len(kept) > sum(final) / len(final)


def test_with_one_objective_it_is_asynchronous_successive_halving():
    """The slow twin is algorithm 2 of arXiv 1810.05934, word for word, with one worker."""
    one = pruner(objectives=(SCORE,))
    search = MadeUpSearch(one, seed=2, trials=60, workers=1, all_epochs=(9,), is_rough=False).run()
    promoted = {0: set(), 1: set()}
    for before, step in search.promoted:
        expected = None
        for rung, epoch in ((1, 3), (0, 1)):
            reached = [
                each for each in (*before.finished, *before.paused) if len(each.curve) > epoch
            ]
            by_score = sorted(reached, key=lambda each: -each.curve[epoch].metrics[SCORE])
            top = by_score[: len(reached) // 3]
            passed = {each.number for each in reached if len(each.curve) > epoch + 1}
            left = [each.number for each in top if each.number not in passed]
            if left:
                expected = left[0]
                promoted[rung].add(expected)
                break
        assert (step and step.number) == expected
    assert promoted[0]
    assert promoted[1]

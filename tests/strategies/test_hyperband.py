from collections import Counter

import pytest
from made_up_searches import MadeUpSearch, paused, running

from ecoautoml.records.progress import CONTINUE, Action
from ecoautoml.strategies.base import History
from ecoautoml.strategies.halving import Ladder
from ecoautoml.strategies.hyperband import bracket_of, bracket_sizes, hyperband_pruner

OBJECTIVES = ("validation_accuracy", "inference_energy_j")
LADDER = Ladder.of(3, 0.1)
SIZES = bracket_sizes(LADDER)


def pruner(seed=0, ranking="eps-net", objectives=OBJECTIVES):
    return hyperband_pruner(objectives=objectives, ladder=LADDER, ranking=ranking, seed=seed)


def members(bracket, count, seed=0):
    """Return the first trial numbers of a bracket."""
    numbers = [n for n in range(500) if bracket_of(n, sizes=SIZES, seed=seed) == bracket]
    return numbers[:count]


@pytest.mark.parametrize(
    ("reduction", "min_share", "sizes"),
    [
        (3, 0.1, (9, 5, 3)),
        (3, 1 / 81, (81, 34, 15, 8, 5)),  # table 1 of arXiv 1603.06560: R = 81, eta = 3
        (16, 0.06, (16, 2)),
    ],
)
def test_brackets_get_trials_in_the_proportion_of_the_paper(reduction, min_share, sizes):
    assert bracket_sizes(Ladder.of(reduction, min_share)) == sizes


def test_every_block_of_trials_is_shared_out_exactly_and_shuffled():
    blocks = [
        [bracket_of(number, sizes=SIZES, seed=1) for number in range(17 * n, 17 * n + 17)]
        for n in range(4)
    ]
    for block in blocks:
        assert Counter(block) == {0: 9, 1: 5, 2: 3}
    assert len({tuple(block) for block in blocks}) == 4
    again = [bracket_of(number, sizes=SIZES, seed=1) for number in reversed(range(68))]
    assert again == [bracket for block in blocks for bracket in block][::-1]
    other = [bracket_of(number, sizes=SIZES, seed=2) for number in range(17)]
    assert other != blocks[0]


@pytest.mark.parametrize(("bracket", "halted_at"), [(0, [1, 3]), (1, [3]), (2, [])])
def test_a_bracket_begins_at_its_first_rung(bracket, halted_at):
    (number,) = members(bracket, 1)
    halted = [
        epoch
        for epoch in range(10)
        if pruner().decide(running([0.5] * epoch, number=number), History()).action is Action.PAUSE
    ]
    assert halted == halted_at


def test_trials_are_compared_within_their_bracket_only():
    first, *others = members(1, 6)
    trial = running([0.1, 0.2, 0.5], number=first)
    same = [paused([0.1, 0.2, 0.3], number=number) for number in others]
    theirs = [paused([0.1, 0.2, 0.3], number=number) for number in members(0, 5)]
    assert pruner().decide(trial, History(paused=same)) == CONTINUE
    decision = pruner().decide(trial, History(paused=theirs))
    assert decision.reason.startswith("after epoch 3 of 9 in place 1 of 1;")
    best = [paused([0.1, 0.2, 0.9], number=number) for number in members(0, 5)]
    assert pruner().decide(trial, History(paused=[*best, *same])) == CONTINUE


def test_a_halted_trial_goes_on_once_it_is_among_the_best_of_its_bracket():
    lower = [paused([score], number=n) for n, score in zip(members(0, 2), (0.9, 0.8), strict=True)]
    upper = [
        paused([0.1, 0.1, score], number=number)
        for number, score in zip(members(1, 3), (0.3, 0.5, 0.4), strict=True)
    ]
    one = pruner(objectives=("validation_accuracy",))
    assert one.promote(History(paused=[*lower, *upper[:2]])) is None
    step = one.promote(History(paused=[*lower, *upper]))
    assert (step.number, step.turn.epoch) == (members(1, 2)[1], 3)


def test_all_brackets_train_about_as_much_and_one_trains_everything():
    search = MadeUpSearch(pruner(), seed=0, trials=17 * 12, all_epochs=(27,), is_rough=False).run()
    spent, complete = Counter(), Counter()
    for one in (*search.finished.values(), *search.paused.values()):
        bracket = bracket_of(one.number, sizes=SIZES, seed=0)
        spent[bracket] += one.epochs
        complete[bracket] += one.number in search.finished
    assert complete[2] == 3 * 12
    assert complete[0] / (9 * 12) < complete[1] / (5 * 12) < 1
    assert max(spent.values()) < 2 * min(spent.values())

import numpy as np
import pytest

from ecoautoml.pareto import non_dominated_mask, non_domination_rank
from ecoautoml.pareto.front import front_mask


def slow_mask(losses):
    def dominates(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)

    return [
        not np.isnan(p).any() and not any(dominates(q, p) for q in losses if not np.isnan(q).any())
        for p in losses
    ]


def test_a_dominated_point_is_off_the_front():
    losses = np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 3.0], [4.0, 1.0]])
    assert non_dominated_mask(losses).tolist() == [True, True, False, True]


def test_equal_points_of_the_front_all_stay():
    losses = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 2.0]])
    assert non_dominated_mask(losses).tolist() == [True, True, False]


def test_a_row_with_nan_is_never_on_the_front_and_beats_nobody():
    losses = np.array([[0.0, np.nan], [1.0, 1.0]])
    assert non_dominated_mask(losses).tolist() == [False, True]


def test_no_points_give_an_empty_mask():
    assert non_dominated_mask(np.empty((0, 2))).shape == (0,)
    assert non_domination_rank(np.empty((0, 2))).shape == (0,)


def test_a_flat_list_is_refused():
    with pytest.raises(ValueError, match="shape"):
        non_dominated_mask(np.array([1.0, 2.0]))


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
def test_mask_equals_its_slow_twin(n_objectives):
    rng = np.random.default_rng(n_objectives)
    losses = rng.integers(0, 6, size=(60, n_objectives)).astype(float)
    losses[rng.random(losses.shape) < 0.03] = np.nan
    assert non_dominated_mask(losses).tolist() == slow_mask(losses)


def test_ranks_peel_the_fronts_one_by_one():
    losses = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 4.0], [4.0, 4.0], [np.nan, 0.0]])
    assert non_domination_rank(losses).tolist() == [0, 0, 1, 2, -1]


def test_rank_zero_is_the_front():
    losses = np.random.default_rng(5).random((50, 3))
    assert ((non_domination_rank(losses) == 0) == non_dominated_mask(losses)).all()


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4])
def test_each_rank_is_the_front_of_what_the_ranks_before_it_leave(n_objectives):
    rng = np.random.default_rng(n_objectives)
    losses = rng.integers(0, 8, size=(80, n_objectives)).astype(float)
    losses[rng.random(losses.shape) < 0.03] = np.nan
    losses[rng.random(losses.shape) < 0.03] = np.inf
    ranks = non_domination_rank(losses)
    assert ((ranks < 0) == np.isnan(losses).any(axis=1)).all()
    for rank in range(ranks.max() + 1):
        left = losses[ranks >= rank]
        assert (ranks[ranks >= rank] == rank).tolist() == slow_mask(left)


def named(pairs, n):
    """Return who ties with whom, both ways."""
    ties = {name: set() for name in range(n)}
    for a, b in pairs:
        ties[a].add(b)
        ties[b].add(a)
    return ties


def test_of_two_costs_that_cannot_be_told_apart_the_worse_score_goes():
    losses = np.array([[0.10, 1.00], [0.09, 1.01], [0.05, 2.0]])
    assert front_mask(losses, 1, named([], 3)).tolist() == [True, True, True]
    assert front_mask(losses, 1, named([(0, 1)], 3)).tolist() == [False, True, True]
    assert front_mask(losses, None, named([(0, 1)], 3)).tolist() == [True, True, True]


def test_of_points_that_nothing_tells_apart_the_lowest_stays():
    losses = np.array([[0.1, 1.01], [0.1, 1.0], [0.1, 1.02]])
    ties = named([(0, 1), (1, 2), (0, 2)], 3)
    assert front_mask(losses, 1, ties).tolist() == [False, True, False]


def test_a_chain_of_ties_leaves_nobody_without_a_better_one_that_stays():
    # 0 ties with 1, and 1 with 2, but 0 is surely cheaper than 2
    losses = np.array([[0.10, 1.00], [0.09, 1.02], [0.08, 1.04]])
    assert front_mask(losses, 1, named([(0, 1), (1, 2)], 3)).tolist() == [True, False, True]


def test_whatever_the_ties_who_goes_is_stood_for_and_who_stays_differs():
    rng = np.random.default_rng(3)
    for _ in range(200):
        losses = rng.integers(0, 6, size=(7, 3)).astype(float)
        losses[rng.random(7) < 0.1, 0] = np.nan
        pairs = [(a, b) for a in range(7) for b in range(a) if abs(losses[a, 2] - losses[b, 2]) < 2]
        ties = named(pairs, 7)
        mask = front_mask(losses, 2, ties)

        def stands_for(a, b, losses=losses, ties=ties):
            no_more = losses[a, 2] <= losses[b, 2] or a in ties[b]
            return bool((losses[a, :2] <= losses[b, :2]).all()) and no_more

        for point in range(7):
            kept = [other for other in np.flatnonzero(mask) if other != point]
            if mask[point]:
                assert not np.isnan(losses[point]).any()
                assert not any(stands_for(k, point) and stands_for(point, k) for k in kept)
            elif not np.isnan(losses[point]).any():
                assert any(stands_for(k, point) for k in kept)

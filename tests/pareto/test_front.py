import numpy as np
import pytest

from ecoautoml.pareto import non_dominated_mask, non_domination_rank


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

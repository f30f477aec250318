import numpy as np
import pytest

from ecoautoml.pareto import knee_index


def test_the_corner_of_an_l_is_the_knee():
    assert knee_index(np.array([[0.0, 10.0], [0.5, 1.0], [5.0, 0.0]])) == 1


def test_the_order_of_the_rows_does_not_matter():
    rows = np.array([[0.0, 1.0], [0.1, 0.4], [0.3, 0.15], [0.6, 0.05], [1.0, 0.0]])
    order = np.array([3, 0, 2, 4, 1])
    assert order[knee_index(rows[order])] == knee_index(rows) == 2


def test_the_units_of_an_objective_do_not_matter():
    rows = np.array([[0.0, 1.0], [0.1, 0.4], [0.3, 0.15], [0.6, 0.05], [1.0, 0.0]])
    assert knee_index(rows * np.array([1e-6, 500.0]) + 7.0) == 2


def test_a_single_point_is_its_own_knee():
    assert knee_index(np.array([[3.0, 4.0]])) == 0


def test_a_straight_front_gives_the_point_nearest_the_ideal():
    assert knee_index(np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0], [4.0, 0.0]])) == 2


def test_a_front_bent_the_wrong_way_gives_the_point_nearest_the_ideal():
    assert knee_index(np.array([[0.0, 1.0], [0.9, 0.95], [1.0, 0.0]])) == 0


def test_three_objectives_give_the_point_nearest_the_ideal():
    rows = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.3, 0.3, 0.3], [1.0, 1.0, 0.0]])
    assert knee_index(rows) == 2


def test_an_objective_that_is_the_same_everywhere_does_not_divide_by_zero():
    assert knee_index(np.array([[1.0, 5.0], [1.0, 5.0]])) == 0
    assert knee_index(np.array([[1.0, 5.0], [0.0, 5.0]])) == 1


def test_unknown_rows_never_win():
    assert knee_index(np.array([[np.nan, 0.0], [1.0, 1.0]])) == 1
    with pytest.raises(ValueError, match="at least one"):
        knee_index(np.array([[np.nan, 0.0]]))


def test_the_knee_is_never_an_extreme_of_a_convex_front():
    for seed in range(20):
        x = np.sort(np.random.default_rng(seed).random(8))
        x[0], x[-1] = 0.0, 1.0
        assert 0 < knee_index(np.column_stack([x, (1 - x) ** 2])) < 7

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


FRONT = np.array([[0.0, 1.0], [0.1, 0.4], [0.3, 0.15], [0.6, 0.05], [1.0, 0.0]])


@pytest.mark.parametrize("other", [FRONT, np.column_stack([FRONT, FRONT[::-1, 0]])])
def test_what_weighs_more_is_given_up_less(other):
    lost = [other[knee_index(other, [w, *[1.0] * (other.shape[1] - 1)]), 0] for w in (0.1, 1, 9)]
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > lost[-1]


def test_equal_weights_change_nothing_and_units_do_not_matter_either():
    assert knee_index(FRONT, [3.0, 3.0]) == knee_index(FRONT)
    assert knee_index(FRONT * [1e-6, 500.0], [3.0, 1.0]) == knee_index(FRONT, [3.0, 1.0])


def test_with_weights_of_two_to_one_a_step_is_paid_with_two():
    """From row 2 to row 3, 0.3 of the first is given up for 0.1 of the second: a third."""
    assert knee_index(FRONT, [1.0, 2.9]) == 2
    assert knee_index(FRONT, [1.0, 3.1]) == 3


def test_a_front_bent_the_wrong_way_is_weighed_by_distance():
    bent = np.array([[0.0, 1.0], [0.9, 0.95], [1.0, 0.0]])
    assert knee_index(bent, [2.0, 1.0]) == 0
    assert knee_index(bent, [1.0, 2.0]) == 2

import numpy as np
import pytest

from ecoautoml.pareto import crowding_distance, farthest_first


def on_a_line(*places):
    return np.array([[place, 1.0 - place] for place in places])


def test_the_lowest_priority_is_first_and_then_always_the_farthest():
    points = on_a_line(0.0, 0.1, 0.45, 0.8, 1.0)
    assert farthest_first(points, [1, 0, 2, 3, 4]).tolist() == [1, 4, 2, 3, 0]
    assert farthest_first(points, [1, 2, 3, 4, 0]).tolist() == [4, 0, 2, 3, 1]


def test_of_equally_distant_points_the_lower_priority_is_earlier():
    points = on_a_line(0.0, 0.5, 1.0)
    assert farthest_first(points, [5, 0, 3]).tolist() == [1, 2, 0]
    assert farthest_first(points, [3, 0, 5]).tolist() == [1, 0, 2]


def test_a_point_that_stands_twice_comes_again_at_the_end():
    points = on_a_line(0.0, 0.0, 0.2, 1.0)
    assert farthest_first(points, [0, 1, 2, 3]).tolist() == [0, 3, 2, 1]
    assert farthest_first(np.zeros((3, 2)), [2, 0, 1]).tolist() == [1, 2, 0]


def test_no_and_one_point_are_ordered():
    assert farthest_first(np.empty((0, 2)), []).tolist() == []
    assert farthest_first(np.array([[3.0, 4.0]]), [7]).tolist() == [0]


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_the_first_are_an_eps_net_in_whatever_order_the_rows_stand(n_objectives):
    rng = np.random.default_rng(n_objectives)
    points, priority = rng.random((40, n_objectives)), rng.permutation(40)
    order = farthest_first(points, priority)
    assert sorted(order) == list(range(40))
    between = np.linalg.norm(points[:, None] - points[None], axis=2)
    for n in range(1, 40):  # everybody is as near to one taken as those taken are apart, or nearer
        taken = order[:n]
        farthest = between[:, taken].min(axis=1).max()
        assert between[order[n], taken].min() == farthest
        apart = between[np.ix_(taken, taken)][~np.eye(n, dtype=bool)]
        assert n == 1 or farthest <= apart.min()
    rows = rng.permutation(40)
    assert rows[farthest_first(points[rows], priority[rows])].tolist() == order.tolist()


def test_crowding_is_the_gap_between_the_neighbours():
    losses = np.array([[0.0, 10.0], [1.0, 4.0], [3.0, 2.0], [4.0, 0.0]])
    # of a range of 4: from 0 to 3, and from 1 to 4; of a range of 10: from 2 to 10, and from 0 to 4
    expected = [np.inf, 3 / 4 + 8 / 10, 3 / 4 + 4 / 10, np.inf]
    np.testing.assert_allclose(crowding_distance(losses), expected)


def test_an_objective_that_is_the_same_everywhere_adds_nothing_to_crowding():
    losses = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 4.0], [1.0, 5.0]])
    distances = crowding_distance(losses)
    np.testing.assert_allclose(distances[1:3], [4 / 5, 4 / 5])
    assert crowding_distance(np.empty((0, 3))).shape == (0,)
    assert crowding_distance(np.array([[1.0, 2.0]])).tolist() == [np.inf]


@pytest.mark.parametrize("function", [crowding_distance, lambda flat: farthest_first(flat, [0, 1])])
def test_a_flat_list_has_no_order(function):
    with pytest.raises(ValueError, match="shape"):
        function(np.array([1.0, 2.0]))

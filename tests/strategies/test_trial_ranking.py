import numpy as np
import pytest

from ecoautoml.strategies.ranking import RANKINGS, ranked

FRONT = [[0.0, 4.0], [1.0, 2.5], [2.0, 2.0], [4.0, 0.0]]
BEHIND = [[3.0, 3.0], [5.0, 5.0]]
LOSSES = np.array([*BEHIND, *FRONT])
CHANCE = [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("kind", RANKINGS)
def test_fronts_come_one_after_the_other(kind):
    order = ranked(LOSSES, kind, CHANCE).tolist()
    assert set(order[:4]) == {2, 3, 4, 5}
    assert order[4:] == [0, 1]


def test_an_eps_net_begins_by_chance_and_goes_on_with_the_farthest():
    # row 5 is drawn; row 2 is at the other end; then row 4 is farther from both than row 3
    assert ranked(LOSSES, "eps-net", CHANCE).tolist()[:4] == [5, 2, 4, 3]
    assert ranked(LOSSES, "eps-net", [0, 1, 5, 0, 4, 3]).tolist()[:4] == [3, 5, 2, 4]


def test_a_non_dominated_sort_prefers_the_ends_and_then_the_loneliest():
    # between the ends, row 4 has the wider gap around it: (4-1)/4 + 2.5/4 against 2/4 + 2/4
    assert ranked(LOSSES, "non-dominated", CHANCE).tolist()[:4] == [5, 2, 4, 3]
    assert ranked(LOSSES, "non-dominated", range(6)).tolist()[:4] == [2, 5, 4, 3]


def test_distances_are_taken_within_the_range_of_all_and_not_of_the_front():
    front = np.array([[0.0, 1.0], [0.2, 0.3], [0.7, 0.15], [1.0, 0.0]])
    assert ranked(front, "eps-net", range(4)).tolist() == [0, 3, 1, 2]
    # where losses of 100 occur, 0.3 and 0.15 are the same: what is left is the other objective
    with_one_behind = np.vstack([front, [1.0, 100.0]])
    assert ranked(with_one_behind, "eps-net", range(5)).tolist() == [0, 3, 2, 1, 4]


@pytest.mark.parametrize("kind", RANKINGS)
def test_with_one_objective_the_ranking_is_the_usual_one(kind):
    losses = np.array([[0.3], [0.1], [0.2], [0.1]])
    assert ranked(losses, kind, [0, 1, 2, 3]).tolist() == [1, 3, 2, 0]
    assert ranked(losses, kind, [0, 3, 2, 1]).tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("kind", RANKINGS)
def test_what_is_unknown_comes_last_and_an_objective_nobody_knows_is_left_out(kind):
    losses = np.array([[0.0, np.nan], [0.5, 1.0], [0.9, 0.9], [0.1, np.nan]])
    assert ranked(losses, kind, [3, 0, 1, 2]).tolist() == [1, 2, 3, 0]
    losses[:, 1] = np.nan
    assert ranked(losses, kind, [3, 0, 1, 2]).tolist() == [0, 3, 1, 2]
    assert ranked(np.full((2, 2), np.nan), kind, [1, 0]).tolist() == [1, 0]


@pytest.mark.parametrize("kind", RANKINGS)
def test_nobody_and_one_are_ranked(kind):
    assert ranked(np.empty((0, 2)), kind, []).tolist() == []
    assert ranked(np.array([[1.0, 2.0]]), kind, [0]).tolist() == [0]


@pytest.mark.parametrize("kind", RANKINGS)
@pytest.mark.parametrize("n_objectives", [2, 3])
def test_the_order_of_the_rows_does_not_matter(kind, n_objectives):
    rng = np.random.default_rng(n_objectives)
    losses, chance = rng.random((60, n_objectives)), rng.permutation(60)
    order = ranked(losses, kind, chance)
    assert sorted(order) == list(range(60))
    rows = rng.permutation(60)
    assert rows[ranked(losses[rows], kind, chance[rows])].tolist() == order.tolist()


def test_an_unknown_ranking_is_refused():
    with pytest.raises(KeyError):
        ranked(LOSSES, "best", CHANCE)

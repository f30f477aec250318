import itertools

import numpy as np
import pytest

from ecoautoml.pareto import hypervolume


def slow_hypervolume(losses, reference):
    """Inclusion-exclusion over all subsets of boxes."""
    total = 0.0
    for size in range(1, len(losses) + 1):
        for subset in itertools.combinations(losses, size):
            sides = reference - np.max(subset, axis=0)
            if (sides > 0).all():
                total += (-1) ** (size + 1) * np.prod(sides)
    return total


def test_one_point_covers_its_box():
    assert hypervolume(np.array([[0.25, 0.5, 0.0]]), np.ones(3)) == pytest.approx(0.375)


def test_a_staircase_of_two_objectives_has_its_closed_form():
    losses = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert hypervolume(losses, np.array([4.0, 4.0])) == pytest.approx(6.0)


def test_one_objective_is_the_distance_to_the_best():
    assert hypervolume(np.array([[3.0], [1.0]]), np.array([5.0])) == pytest.approx(4.0)


@pytest.mark.parametrize("n_objectives", [2, 3, 4])
def test_points_on_the_diagonal_plane_have_their_closed_form(n_objectives):
    # Unit vectors against a reference of 2: every pair overlaps in the unit cube only.
    losses = 1.0 - np.eye(n_objectives)
    expected = n_objectives * 2.0 - (n_objectives - 1)
    assert hypervolume(losses, np.full(n_objectives, 2.0)) == pytest.approx(expected)


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 4, 5])
def test_volume_equals_its_slow_twin(n_objectives):
    rng = np.random.default_rng(n_objectives)
    losses = rng.random((9, n_objectives)) * 1.2
    reference = np.ones(n_objectives)
    assert hypervolume(losses, reference) == pytest.approx(slow_hypervolume(losses, reference))


def test_points_beyond_the_reference_and_nan_are_ignored():
    losses = np.array([[0.5, 0.5], [0.1, 1.0], [2.0, 0.0], [np.nan, 0.0]])
    assert hypervolume(losses, np.ones(2)) == pytest.approx(0.25)


def test_nothing_covers_nothing():
    assert hypervolume(np.empty((0, 3)), np.ones(3)) == 0.0


@pytest.mark.parametrize("n_objectives", [2, 3, 4])
def test_another_point_never_lowers_it_and_a_dominated_one_leaves_it(n_objectives):
    rng = np.random.default_rng(10 + n_objectives)
    reference = np.ones(n_objectives)
    for _ in range(10):
        losses = rng.random((12, n_objectives))
        before = hypervolume(losses, reference)
        extra = rng.random((1, n_objectives))
        worse = losses[:1] + (1 - losses[:1]) * 0.5
        assert hypervolume(np.vstack([losses, extra]), reference) >= before - 1e-12
        assert hypervolume(np.vstack([losses, worse]), reference) == pytest.approx(before)


def test_order_and_duplicates_do_not_matter():
    rng = np.random.default_rng(3)
    losses = rng.random((15, 3))
    shuffled = np.vstack([losses, losses[:4]])[rng.permutation(19)]
    assert hypervolume(shuffled, np.ones(3)) == pytest.approx(hypervolume(losses, np.ones(3)))


def test_a_front_of_a_hundred_points_in_three_objectives_is_exact_enough():
    rng = np.random.default_rng(0)
    directions = np.abs(rng.normal(size=(100, 3)))
    losses = 1.0 - directions / np.linalg.norm(directions, axis=1, keepdims=True)
    samples = rng.random((20_000, 3))
    covered = np.zeros(len(samples), dtype=bool)
    for point in losses:
        covered |= (samples >= point).all(axis=1)
    assert hypervolume(losses, np.ones(3)) == pytest.approx(covered.mean(), abs=0.015)


@pytest.mark.parametrize("reference", [np.ones(3), np.ones((1, 2))])
def test_a_reference_of_another_shape_is_refused(reference):
    with pytest.raises(ValueError, match="reference"):
        hypervolume(np.zeros((1, 2)), reference)

import numpy as np
import pytest

from ecoautoml.pareto import (
    as_losses,
    hypervolume,
    non_dominated_mask,
    reference_point,
    to_unit_range,
)

DIRECTIONS = ("maximize", "minimize")


def test_scores_are_turned_round_and_costs_logged():
    losses = as_losses([[0.9, 1e-3], [0.5, 1.0]], DIRECTIONS, [1])
    assert losses.tolist() == [[-0.9, -3.0], [-0.5, 0.0]]


def test_what_has_no_logarithm_becomes_unknown_without_a_warning():
    losses = as_losses([[0.9, 0.0], [0.9, -1.0], [0.9, np.nan]], DIRECTIONS, [1])
    assert np.isnan(losses[:, 1]).all()


def test_the_given_array_is_left_alone():
    values = np.array([[0.9, 10.0]])
    as_losses(values, DIRECTIONS, [1])
    assert values.tolist() == [[0.9, 10.0]]


def test_the_front_is_the_same_on_either_scale():
    values = np.random.default_rng(0).random((40, 2)) + 0.01
    linear = non_dominated_mask(as_losses(values, DIRECTIONS))
    assert (linear == non_dominated_mask(as_losses(values, DIRECTIONS, [1]))).all()


def test_values_that_do_not_fit_the_directions_are_refused():
    with pytest.raises(ValueError, match="directions"):
        as_losses(np.zeros((3, 3)), DIRECTIONS)


def test_the_reference_is_five_percent_beyond_the_worst():
    reference = reference_point(np.array([[0.0, 10.0], [1.0, 30.0], [np.nan, np.inf]]))
    assert reference == pytest.approx([1.05, 31.0])


def test_a_single_point_still_covers_something():
    losses = np.array([[2.0, 3.0]])
    assert hypervolume(losses, reference_point(losses)) > 0


def test_an_objective_nobody_knows_has_no_reference():
    assert np.isnan(reference_point(np.array([[1.0, np.nan]]))[1])


def test_each_objective_is_brought_to_the_range_from_0_to_1():
    losses = np.array([[1.0, -4.0, 7.0], [3.0, 0.0, 7.0], [2.0, 4.0, 7.0]])
    expected = [[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.5, 1.0, 0.0]]
    assert to_unit_range(losses).tolist() == expected

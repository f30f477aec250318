"""What a candidate may still add to a front: exact, estimated, and against many drawn outcomes."""

import math

import numpy as np
import pytest
from scipy.special import ndtri

from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.strategies.energy_first.gain import (
    Front,
    chance_below,
    index_of,
    outcomes,
    shortfall,
)


def front(costs, errors, *, worst_error=0.5, worst_costs=(3.0,), **options):
    return Front.of(
        np.array(costs, dtype=float).reshape(len(errors), len(worst_costs)),
        np.array(errors, dtype=float),
        worst_error=worst_error,
        worst_costs=np.array(worst_costs),
        **options,
    )


def test_a_shortfall_is_what_drawing_many_errors_gives():
    errors = np.exp(-1.5 + 0.4 * np.random.default_rng(0).standard_normal(400_000))
    (found,) = shortfall(0.25, np.array([-1.5]), np.array([0.16]))
    assert found == pytest.approx(np.maximum(0.25 - errors, 0).mean(), rel=0.01)
    (chance,) = chance_below(np.array([0.25]), np.array([-1.5]), np.array([0.16]))
    assert chance == pytest.approx((errors < 0.25).mean(), abs=0.01)


def test_the_gain_is_the_area_between_a_candidate_and_the_front():
    one = front([1.0, 2.0, 1.5], [0.3, 0.1, 0.4])
    assert one.errors.tolist() == [0.5, 0.3, 0.1]  # the third is beaten by the first
    sure = np.full(3, 1e-12)
    asked = np.array([[0.5], [1.2], [2.5]])
    gains = one.expected_gain(asked, np.log([0.2, 0.2, 0.2]), sure)
    assert gains == pytest.approx([0.5 * 0.3 + 1.0 * 0.1, 0.8 * 0.1, 0.0], abs=1e-5)
    assert one.to_beat(asked).tolist() == [0.5, 0.3, 0.1]
    empty = front([], [])
    assert empty.expected_gain(np.array([[1.0]]), np.log([0.2]), sure[:1]) == pytest.approx(
        [2.0 * 0.3], abs=1e-5
    )


@pytest.mark.parametrize("n_costs", [0, 1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_expected_gain_is_the_mean_hypervolume_that_possible_errors_add(n_costs, seed):
    rng = np.random.default_rng(seed)
    worst = np.full(n_costs, 1.0)
    costs, errors = rng.random((7, n_costs)), 0.1 + 0.4 * rng.random(7)
    one = Front.of(costs, errors, worst_error=0.45, worst_costs=worst)
    asked, mean, variance = rng.random((4, n_costs)), np.log([0.1, 0.2, 0.3, 0.4]), np.full(4, 0.09)
    gains = one.expected_gain(asked, mean, variance)
    reference = np.array([*worst, 0.45])
    known = np.column_stack([costs, errors])
    before = hypervolume(known, reference)
    possible = ndtri((np.arange(50) + 0.5) / 50)  # each as likely as any other
    for index in range(4):
        added = [
            hypervolume(np.vstack([known, [*asked[index], error]]), reference) - before
            for error in np.exp(mean[index] + 0.3 * possible)
        ]
        assert gains[index] == pytest.approx(np.mean(added), rel=0.02, abs=1e-4)


@pytest.mark.parametrize("n_costs", [2, 3])
def test_the_estimate_beyond_a_number_of_cells_is_close_to_the_exact_gain(n_costs):
    rng = np.random.default_rng(3)
    costs, errors = rng.random((12, n_costs)), 0.1 + 0.4 * rng.random(12)
    known = {"worst_error": 0.45, "worst_costs": np.full(n_costs, 1.0)}
    exact = Front.of(costs, errors, **known, most_cells=10**6)
    estimated = Front.of(costs, errors, **known, most_cells=0)
    assert exact.weight is None
    assert estimated.weight is not None
    asked = np.maximum(rng.random((50, n_costs)) * 0.8, costs.min(axis=0))
    told = [
        one.expected_gain(asked, np.full(50, math.log(0.2)), np.full(50, 0.05))
        for one in (exact, estimated)
    ]
    assert np.corrcoef(*told)[0, 1] > 0.99
    assert np.abs(told[1] - told[0]).max() < 0.1 * told[0].max()


def test_a_look_is_worth_what_it_saves():
    """Half of the time there is nothing: looking first pays one full training less in two."""
    gains, halves = np.array([[1.0, 0.0]]), np.array([0.5, 0.5])
    (free,) = index_of(gains, halves, np.array([0.0]), np.array([1.0]))
    assert free == pytest.approx(1.0)  # goes on with the good one alone
    (cheap,) = index_of(gains, halves, np.array([0.1]), np.array([1.0]))
    assert cheap == pytest.approx(0.5 / (0.1 + 0.5))
    (useless,) = index_of(np.array([[0.5, 0.5]]), halves, np.array([0.1]), np.array([1.0]))
    assert useless == pytest.approx(0.5 / 1.1)


@pytest.mark.parametrize("n_uncertain", [0, 1, 2, 3])
def test_outcomes_stand_for_normal_values(n_uncertain):
    points, weights = outcomes(n_uncertain)
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ points == pytest.approx(np.zeros(n_uncertain), abs=0.1)
    assert weights @ points**2 == pytest.approx(np.ones(n_uncertain), abs=0.25)


@pytest.mark.parametrize("is_reached", [False, True])
def test_with_a_target_less_error_is_worth_no_more_and_once_reached_nothing_else_counts(is_reached):
    target, costs, errors = 0.2, [1.0, 2.0], [0.4, 0.15 if is_reached else 0.3]
    one = front(costs, errors, target=target)
    assert one.is_target_reached is is_reached
    asked, mean, variance = (
        np.array([[0.5], [1.5], [2.5]]),
        np.full(3, np.log(0.22)),
        np.full(3, 0.1),
    )
    drawn = np.exp(mean[0] + math.sqrt(0.1) * np.random.default_rng(0).standard_normal(400_000))
    if is_reached:  # by the second: what is left to gain lies below its cost
        chance = (drawn <= target).mean()
        expected = [1.5 * 0.3 * chance, 0.5 * 0.3 * chance, 0.0]
    else:
        worth = np.maximum(drawn, target)
        below = [np.maximum(level - worth, 0).mean() for level in (0.5, 0.4, 0.3)]
        expected = [
            0.5 * below[0] + 1.0 * below[1] + 1.0 * below[2],
            0.5 * below[1] + 1.0 * below[2],
            0.5 * below[2],
        ]
    assert one.expected_gain(asked, mean, variance) == pytest.approx(expected, rel=0.02, abs=1e-9)
    to_beat = [0.2, 0.2, 1e-12] if is_reached else [0.5, 0.4, 0.3]
    assert one.to_beat(asked) == pytest.approx(to_beat)

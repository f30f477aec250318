import pytest

from ecoautoml.config.models import Budget, CarbonConfig
from ecoautoml.study.budget import Spent, exhausted, has_trials_left, time_left_s

GRID = CarbonConfig(intensity_gco2e_per_kwh=400.0)


def spent(trials=0, elapsed_s=0.0, energy_j=0.0):
    return Spent(trials=trials, elapsed_s=elapsed_s, energy_j=energy_j)


@pytest.mark.parametrize(
    ("budget", "below", "reached", "phrase"),
    [
        ({"hours": 0.5}, {"elapsed_s": 1799.9}, {"elapsed_s": 1800.0}, "budget of 0.5 h spent"),
        ({"energy_wh": 2}, {"energy_j": 7199.0}, {"energy_j": 7200.0}, "budget of 2 Wh spent"),
        ({"carbon_g": 4}, {"energy_j": 35_999.0}, {"energy_j": 36_000.0}, "4 g CO2e spent"),
    ],
)
def test_a_limit_is_reached_when_it_is_spent_and_not_before(budget, below, reached, phrase):
    assert exhausted(Budget(**budget), GRID, spent(**below)) is None
    assert exhausted(Budget(**budget), GRID, spent(**reached)).endswith(phrase)


def test_the_building_counts_towards_grams():
    budget, carbon = Budget(carbon_g=4), CarbonConfig(intensity_gco2e_per_kwh=400.0, pue=2.0)
    assert exhausted(budget, carbon, spent(energy_j=17_999.0)) is None
    assert exhausted(budget, carbon, spent(energy_j=18_000.0)) is not None


def test_unknown_joules_reach_no_limit():
    for budget in (Budget(energy_wh=1e-9), Budget(carbon_g=1e-9)):
        assert exhausted(budget, GRID, spent(energy_j=None)) is None


def test_the_number_of_trials_ends_no_running_trial():
    budget = Budget(trials=3)
    assert exhausted(budget, GRID, spent(trials=5)) is None
    assert has_trials_left(budget, spent(trials=2))
    assert not has_trials_left(budget, spent(trials=3))
    assert not has_trials_left(budget, spent(trials=4))


def test_without_a_number_of_trials_there_is_always_one_more():
    assert has_trials_left(Budget(hours=1), spent(trials=10_000))


@pytest.mark.parametrize(
    ("budget", "left_s"),
    [
        ({"trials": 20}, 300.0),
        ({"hours": 1.0}, 3500.0),
        ({"energy_wh": 1.0}, 100.0),
        ({"trials": 20, "hours": 1.0, "energy_wh": 1.0}, 100.0),
        ({"carbon_g": 1.0}, None),
    ],
)
def test_the_time_left_is_that_until_the_first_limit_at_the_present_pace(budget, left_s):
    so_far = spent(trials=5, elapsed_s=100.0, energy_j=1800.0)
    assert time_left_s(Budget(**budget), so_far) == pytest.approx(left_s)


def test_no_time_is_left_beyond_the_limit():
    assert time_left_s(Budget(trials=5), spent(trials=7, elapsed_s=100.0)) == 0.0


def test_the_time_left_is_unknown_at_the_very_beginning():
    assert time_left_s(Budget(trials=5), spent(trials=0, elapsed_s=3.0)) is None
    assert time_left_s(Budget(trials=5), spent(trials=1, elapsed_s=0.0)) is None
    assert time_left_s(Budget(energy_wh=5), spent(elapsed_s=9.0, energy_j=None)) is None

import pytest

from ecoautoml.carbon.grams import carbon_gco2e


def test_a_kilowatt_hour_weighs_the_intensity_of_its_grid():
    assert carbon_gco2e(3_600_000.0, 400.0, None) == 400.0


def test_grams_grow_with_joules_intensity_and_the_building():
    assert carbon_gco2e(36_000.0, 350.0, None) == pytest.approx(3.5)
    assert carbon_gco2e(72_000.0, 350.0, None) == pytest.approx(7.0)
    assert carbon_gco2e(36_000.0, 700.0, None) == pytest.approx(7.0)
    assert carbon_gco2e(36_000.0, 350.0, 1.5) == pytest.approx(5.25)


def test_a_building_without_overhead_adds_nothing():
    assert carbon_gco2e(36_000.0, 350.0, 1.0) == carbon_gco2e(36_000.0, 350.0, None)


@pytest.mark.parametrize(("energy_j", "intensity"), [(None, 400.0), (5.0, None), (None, None)])
def test_unknown_joules_or_intensity_give_unknown_grams(energy_j, intensity):
    assert carbon_gco2e(energy_j, intensity, 1.2) is None


@pytest.mark.parametrize(("energy_j", "intensity"), [(0.0, 400.0), (3_600_000.0, 0.0)])
def test_nothing_is_zero_and_not_unknown(energy_j, intensity):
    assert carbon_gco2e(energy_j, intensity, 1.2) == 0.0

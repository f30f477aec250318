"""Optuna's public suite for samplers, on ours."""

import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from ecoautoml.strategies.optuna_study.sampler import EnergyFirstSampler

# Optuna says so where an upper limit is no multiple of the step, as in one of its own cases
pytestmark = pytest.mark.filterwarnings("ignore:The distribution is specified by:UserWarning")


class TestEnergyFirstSampler(
    BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase
):
    """Any number of objectives: `SingleOnlySamplerTestCase` is about samplers that refuse two."""

    @pytest.fixture
    def sampler(self):
        return EnergyFirstSampler


class TestEnergyFirstSamplerFromTheFirstTrial(
    BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase
):
    """The same without a beginning by chance, so that every case reaches the model."""

    @pytest.fixture
    def sampler(self):
        return lambda: EnergyFirstSampler(n_startup_trials=0)

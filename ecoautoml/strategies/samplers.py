"""Optuna's samplers by name, each made anew for every trial from a seed.

A sampler that lived as long as the process would propose otherwise after a restart, because its
random state would be lost. Made anew from (study seed, trial number), its proposals depend on the
ledger alone.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from ecoautoml.config.models import (
    GpSampler,
    Nsga2Sampler,
    RandomSampler,
    SamplerConfig,
    TpeSampler,
)
from ecoautoml.records.candidate import Value


class _RepeatableNsga2(optuna.samplers.NSGAIISampler):
    """NSGA-II that can be made anew for every trial.

    It chooses the parents of a generation in the order of their numbers. Optuna keeps who they
    are, but not in which order they were chosen: a process that goes on with a generation begun by
    another would get other children.

    What is neither inherited nor crossed over comes from a generator with a seed of its own. Optuna
    seeds both of its generators alike; made anew for every trial they would stay in step, and the
    number that decides on a crossover would also be the first value drawn for a parameter.
    """

    def __init__(self, *, seed: int, population_size: int) -> None:
        super().__init__(seed=seed, population_size=population_size)
        self._random_sampler = _independent(seed)

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)


class PlannedValues(optuna.samplers.BaseSampler):
    """Gives the values that were planned.

    Args:
        values: By dimension.
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: every value is asked for by itself."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the planned value."""
        return self._values[param_name]


def make_sampler(config: SamplerConfig, seed: int) -> optuna.samplers.BaseSampler:
    """Return a fresh sampler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[config.kind](config, seed)


def derive_seed(*parts: object) -> int:
    """Return a seed within [0, 2**31) that depends on all parts, the same on every machine."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _independent(seed: int) -> optuna.samplers.RandomSampler:
    """Return the chance within a sampler, out of step with the sampler itself."""
    return optuna.samplers.RandomSampler(seed=derive_seed(seed, "independent"))


def _tpe(config: SamplerConfig, seed: int) -> optuna.samplers.BaseSampler:
    assert isinstance(config, TpeSampler)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.n_startup_trials)


def _nsga2(config: SamplerConfig, seed: int) -> optuna.samplers.BaseSampler:
    assert isinstance(config, Nsga2Sampler)
    return _RepeatableNsga2(seed=seed, population_size=config.population_size)


def _gp(config: SamplerConfig, seed: int) -> optuna.samplers.BaseSampler:
    assert isinstance(config, GpSampler)
    return optuna.samplers.GPSampler(
        seed=seed,
        independent_sampler=_independent(seed),
        n_startup_trials=config.n_startup_trials,
        warn_independent_sampling=False,  # conditional dimensions are, by design
    )


def _random(config: SamplerConfig, seed: int) -> optuna.samplers.BaseSampler:
    assert isinstance(config, RandomSampler)
    return optuna.samplers.RandomSampler(seed=seed)


def _auto(config: SamplerConfig, seed: int) -> optuna.samplers.BaseSampler:
    """Return what chooses where the planner cannot."""
    return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[SamplerConfig, int], optuna.samplers.BaseSampler]] = {
    "auto": _auto,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
    "random": _random,
}

"""Energy first as a sampler for Optuna: for a study of one's own, without the rest of the house.

    sampler = EnergyFirstSampler(costs={1: lambda params: macs(params)})
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=100)

Objectives that are known before training are never guessed: each candidate's place along them is
certain, and it is chosen for what it is expected to add to the front (`energy_first`).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from ecoautoml.strategies.optuna_study.planning import StudyPlanner, Task
from ecoautoml.strategies.optuna_study.reading import (
    PROPOSAL,
    STATE,
    Function,
    Reading,
    StudyReader,
    check_costs,
    is_same_study,
    write_long,
)
from ecoautoml.strategies.optuna_study.space import StudySpace
from ecoautoml.strategies.samplers import derive_seed

START, CANDIDATES = 16, 200


class EnergyFirstSampler(optuna.samplers.BaseSampler):
    """Proposes what is expected to add most to the front.

    Works with any number of objectives and directions, one included, and with parameters of any
    kind; conditions among them are found out from the trials. Trials that run count with what is
    expected of them. Failed trials are avoided, pruned ones count with what
    `ecoautoml.strategies.FrontPruner` was told of them, and constraints (`Trial.set_constraint`)
    are learnt. The first trial, and parameters that no complete trial had, are chosen by chance.

    Objectives may have any sign and size. Losses are shifted and divided so that the least is 1
    and the lower quartile 2, and their logarithms are modelled (`losses.Scale`). Known costs above
    0 count by their logarithm (`losses.CostScale`).

    The same seed and study give the same proposal, also in another process: what it has to
    remember is kept with the trials, as system attributes.

    Args:
        costs: Objectives known before training, by their number: a function of ``trial.params``
            that returns the objective's value (multiply-adds, bytes, joules of an untrained
            model). Where it always returns what the trial then reports, the cost counts as exact;
            else as a hint. It is asked for ``n_candidates`` candidates per proposal, so it should
            be quick. A candidate with an infinite cost is not proposed.
        n_startup_trials: Trials begun before a model is used, spread over the first known cost.
        n_candidates: Candidates considered per proposal.
        price: What training takes, as a function of ``trial.params``, in any unit; gains are per
            price then. None: the same for all.
        seed: Seed of all chance; None: a random one.
    """

    def __init__(
        self,
        costs: Mapping[int, Function] | None = None,
        *,
        n_startup_trials: int = START,
        n_candidates: int = CANDIDATES,
        price: Function | None = None,
        seed: int | None = None,
    ) -> None:
        costs = {} if costs is None else costs
        if not isinstance(costs, Mapping):
            raise ValueError(f"costs is {costs!r}: expected functions by objective, as {{1: macs}}")
        check_costs(costs)
        for name, given, least in (
            ("n_startup_trials", n_startup_trials, 0),
            ("n_candidates", n_candidates, 1),
        ):
            if given < least:
                raise ValueError(f"{name} is {given}: it is to be {least} or more")
        self._costs = dict(sorted(costs.items()))
        self._start, self._n_candidates = n_startup_trials, n_candidates
        self._price = price
        self._seed = _any_seed() if seed is None else seed
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_costs", "_start", "_n_candidates", "_price", "_seed")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._reader: StudyReader | None = None
        self._planner: tuple[object, StudyPlanner] | None = None
        self._lock = threading.RLock()

    def reseed_rng(self) -> None:
        """Take another seed."""
        self._seed = _any_seed()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Refuse costs that do not go with the study."""
        check_costs(self._costs, len(study.directions))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all parameters of complete trials that have kept their distribution."""
        with self._lock:
            self._read(study, trial)
            assert self._reader is not None
            axes = self._reader.space.axes
            return {name: axes[name].distribution for name in sorted(axes)}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values of parameters, only of those that the others do not rule out."""
        with self._lock:  # so that the next one sees this proposal
            reading = self._read(study, trial)
            assert self._reader is not None
            space = self._reader.space.among(search_space)
            if not space.axes:
                return {}
            task = Task.of(study.directions, reading.finished, tuple(self._costs))
            planner = self._planner_of(space, task)
            codes, state = planner.propose(reading, trial)
            if state != reading.state:
                write_long(study, trial, STATE, state)
            if codes:
                write_long(study, trial, PROPOSAL, codes)
            return space.decode(codes)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a random value, which depends on the seed, the trial and the parameter alone."""
        seed = derive_seed(self._seed, trial.number, param_name)
        chance = optuna.samplers.RandomSampler(seed=seed)
        return chance.sample_independent(study, trial, param_name, param_distribution)

    def _read(self, study: Study, trial: FrozenTrial) -> Reading:
        if self._reader is None or not is_same_study(study, self._reader.study):
            self._reader = StudyReader(study, self._costs, self._price)
        return self._reader.read(trial)

    def _planner_of(self, space: StudySpace, task: Task) -> StudyPlanner:
        key = (self._seed, task, list(space.axes.values()), space.conditions, space.constants)
        if self._planner is None or self._planner[0] != key:
            self._planner = (
                key,
                StudyPlanner(
                    space,
                    task,
                    self._costs,
                    seed=self._seed,
                    start=self._start,
                    n_candidates=self._n_candidates,
                ),
            )
        return self._planner[1]


def _any_seed() -> int:
    return secrets.randbits(31)

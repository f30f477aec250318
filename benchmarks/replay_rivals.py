"""Other packages' methods, replayed where they are installed.

All see log energy, and each loss on the scale of what the method has seen, where the package itself
does not scale: what it ranks or adds up must not hang on units. Numbers that are choices are given
as their place in the row, as to Optuna's samplers. Multi-fidelity methods get rungs as far apart as
the table's fidelities are.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import random
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from replay_clock import MAX_IDLE, Method, Replay
from replay_halving import rung_levels

from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, is_active


class Rival(NamedTuple):
    """A method of another package.

    Attributes:
        package: What is imported.
        install: What pip installs.
        method: The method.
    """

    package: str
    install: str
    method: Method


def missing(name: str) -> str | None:
    """Return how to install the package of a method that is not there; None: it is."""
    rival = RIVALS[name]
    is_there = importlib.util.find_spec(rival.package) is not None
    return None if is_there else f"{name} is not installed here: pip install {rival.install}"


# --- what they share -----------------------------------------------------------------------------


def _losses(replay: Replay, row: int, fidelity: int) -> list[float]:
    """Pay for a training and return its losses: error, log energy."""
    error = replay.train(row, fidelity)
    return [error, math.log(replay.energy(row))]


def _scaled(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return losses on the range of what was seen, ``(n, n_losses)``."""
    span = np.ptp(losses, axis=0)
    return np.asarray((losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0))


def _eta(replay: Replay) -> int:
    """Return by how much the table's fidelities are apart, in the middle, as a whole number."""
    shares = replay.table.shares
    if len(shares) == 1:
        return 3
    return max(2, round((shares[-1] / shares[0]) ** (1 / (len(shares) - 1))))


def _row(replay: Replay, chosen: Mapping[str, Any]) -> int:
    """Return the candidate that a package chose; what its conditions rule out is dropped."""
    values: dict[str, Value] = {}
    for one in replay.table.space.parameters:
        if not is_active(one, values):
            continue
        if one.is_fixed:
            values[one.name] = one.middle
        elif one.kind == "categorical":
            values[one.name] = one.choices[int(chosen[one.name])]
        else:
            values[one.name] = chosen[one.name]
    return replay.table.row_of(values)


def _is_unordered(one: Dimension) -> bool:
    return one.kind == "categorical" and (not one.is_ordered or len(one.choices) == 2)


def _seed_everything(seed: int) -> None:
    """Seed the generators of the process: these packages draw from them."""
    random.seed(seed)
    np.random.seed(seed)
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.manual_seed(seed)


# --- Syne Tune -----------------------------------------------------------------------------------


def syne_tune(replay: Replay) -> None:
    """Run Syne Tune's MOASHA: random candidates, stopped at rungs, never resumed later.

    Its ranking is used as it is: version 0.16 takes the order of a non-dominated sort for the ranks
    of the candidates, so that who is stopped hardly hangs on the losses.
    """
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
    from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import (
        NonDominatedPriority,
    )

    class Scaled(NonDominatedPriority):  # type: ignore[misc]
        """Its own ranking, of losses that are on the same scale."""

        def priority_unsafe(self, objectives: NDArray[np.float64]) -> Any:
            return super().priority_unsafe(_scaled(objectives))

    _seed_everything(replay.seed)
    eta, names = _eta(replay), ["error", "log_energy"]
    levels = rung_levels(replay.table.shares, eta)
    scheduler = MOASHA(
        _syne_tune_space(replay.table.space),
        names,
        time_attr="rung",
        multiobjective_priority=Scaled(),
        max_t=eta ** (len(levels) - 1),
        reduction_factor=eta,
        random_seed=replay.seed,
    )
    n_idle = 0
    while not replay.is_over and n_idle < MAX_IDLE:
        with replay.thinking():
            config = scheduler.suggest().config
        trial = Trial(trial_id=replay.proposals, config=config, creation_time=None)
        scheduler.on_trial_add(trial)
        replay.proposals += 1
        before, row = replay.spent, _row(replay, config)
        for rung, level in enumerate(levels):
            losses = dict(zip(names, _losses(replay, row, level), strict=True))
            with replay.thinking():
                decision = scheduler.on_trial_result(trial, {**losses, "rung": eta**rung})
            if decision != SchedulerDecision.CONTINUE:
                break
        n_idle = n_idle + 1 if replay.spent == before else 0


def _syne_tune_space(space: SearchSpace) -> dict[str, Any]:
    from syne_tune.config_space import choice, loguniform, randint, uniform

    def domain(one: Dimension) -> Any:
        if _is_unordered(one):
            return choice(list(range(len(one.choices))))
        if one.kind == "categorical":
            return randint(0, len(one.choices) - 1)
        assert one.low is not None
        assert one.high is not None
        if one.kind == "int" and not one.log:
            return randint(int(one.low), int(one.high))
        return (loguniform if one.log else uniform)(one.low, one.high)

    return {one.name: domain(one) for one in space.dimensions}


# --- NePS ----------------------------------------------------------------------------------------


def neps_method(make: Callable[[Any, int], Any]) -> Method:
    """Return a method of NePS, asked and told.

    Before each question the losses told so far are put on one scale again.

    Args:
        make: Makes its optimizer from a space with a fidelity, and eta.
    """

    def run(replay: Replay) -> None:
        import neps

        logging.getLogger("neps").setLevel(logging.ERROR)
        _seed_everything(replay.seed)
        eta = _eta(replay)
        levels = rung_levels(replay.table.shares, eta)
        top = len(levels) - 1
        optimizer = make(_neps_space(replay.table.space, float(eta**top)), eta)
        study = neps.AskAndTell(optimizer)
        told: dict[str, list[float]] = {}
        n_idle = 0
        while not replay.is_over and n_idle < MAX_IDLE:
            with replay.thinking(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = _asked(study, optimizer)
            replay.proposals += 1
            rung = round(math.log(float(trial.config[RUNG]), eta))
            before, row = replay.spent, _row(replay, trial.config)
            told[trial.id] = _losses(replay, row, levels[min(max(rung, 0), top)])
            study.tell(trial, {"objective_to_minimize": told[trial.id]})
            scaled = _scaled(np.array(list(told.values())))
            for number, losses in zip(told, scaled.tolist(), strict=True):
                study.trials[number].report.objective_to_minimize = losses
            n_idle = n_idle + 1 if replay.spent == before else 0

    return run


RUNG = "rung"


def _asked(study: Any, optimizer: Any) -> Any:
    """Return what comes next.

    PriMO 0.17 draws the weights of its objectives once for good, and so would find one point of the
    front; here it draws them anew each time. It fails if no training of its start was a full one;
    then the start goes on.
    """
    if hasattr(optimizer, "scalarization_weights"):
        optimizer.scalarization_weights = None
    while True:
        try:
            return study.ask()
        except AssertionError as problem:
            if "maximum fidelity" not in str(problem):
                raise
            optimizer.initial_design_size += 1


def _neps_space(space: SearchSpace, top: float) -> Any:
    from neps import HPOCategorical, HPOFloat, HPOInteger, SearchSpace

    def parameter(one: Dimension) -> Any:
        if _is_unordered(one):
            return HPOCategorical(choices=list(range(len(one.choices))))
        if one.kind == "categorical":
            return HPOInteger(lower=0, upper=len(one.choices) - 1)
        assert one.low is not None
        assert one.high is not None
        if one.kind == "int":
            return HPOInteger(lower=int(one.low), upper=int(one.high), log=one.log)
        return HPOFloat(lower=float(one.low), upper=float(one.high), log=one.log)

    # a little below 1, so that rounding takes no rung away
    rung = HPOFloat(lower=0.999, upper=max(top, 1.0), is_fidelity=True)
    return SearchSpace({**{one.name: parameter(one) for one in space.dimensions}, RUNG: rung})


def _neps_moasha(space: Any, eta: int) -> Any:
    from neps import algorithms

    return algorithms.moasha(space, eta=eta)


def _neps_primo(space: Any, eta: int) -> Any:
    from neps import algorithms

    return algorithms.primo(space, eta=eta, prior_centers={})


# --- SMAC ----------------------------------------------------------------------------------------


def smac_parego(replay: Replay) -> None:
    """Run SMAC's ParEGO (Knowles 2006, doi 10.1109/TEVC.2005.851274) on full trainings.

    It scales the losses itself. Its random start is sized by the budget, which it is told.
    """
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.multi_objective.parego import ParEGO
    from smac.runhistory.dataclasses import TrialValue

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario = Scenario(
            _smac_space(replay.table.space, replay.seed),
            objectives=["error", "log_energy"],
            deterministic=True,
            n_trials=max(20, math.ceil(replay.budget)),
            seed=replay.seed,
            output_directory=Path(folder),
        )
        smac = HyperparameterOptimizationFacade(
            scenario,
            lambda config, seed=0: [0.0, 0.0],  # never called: it is asked and told
            multi_objective_algorithm=ParEGO(scenario),
            logging_level=False,
            overwrite=True,
        )
        n_idle = 0
        while not replay.is_over and n_idle < MAX_IDLE:
            with replay.thinking():
                try:
                    trial = smac.ask()
                except StopIteration:  # it has nothing new to say
                    return
            replay.proposals += 1
            before, row = replay.spent, _row(replay, dict(trial.config))
            losses = _losses(replay, row, replay.full)
            with replay.thinking():
                smac.tell(trial, TrialValue(cost=losses), save=False)
            n_idle = n_idle + 1 if replay.spent == before else 0


def _smac_space(space: SearchSpace, seed: int) -> Any:
    import ConfigSpace

    def parameter(one: Dimension) -> Any:
        if _is_unordered(one):
            return ConfigSpace.CategoricalHyperparameter(one.name, list(range(len(one.choices))))
        if one.kind == "categorical":
            return ConfigSpace.UniformIntegerHyperparameter(one.name, 0, len(one.choices) - 1)
        if one.kind == "int":
            return ConfigSpace.UniformIntegerHyperparameter(
                one.name, int(one.low or 0), int(one.high or 0), log=one.log
            )
        return ConfigSpace.UniformFloatHyperparameter(one.name, one.low, one.high, log=one.log)

    found = ConfigSpace.ConfigurationSpace(seed=seed)
    made = {one.name: parameter(one) for one in space.dimensions}
    found.add(list(made.values()))
    for one in space.dimensions:
        for each in one.conditions:
            choices = space.dimension(each.name).choices
            allowed = [choices.index(value) for value in each.values or ()]
            found.add(ConfigSpace.InCondition(made[one.name], made[each.name], allowed))
    return found


RIVALS: dict[str, Rival] = {
    "syne-tune": Rival("syne_tune", "syne-tune", syne_tune),
    "neps-moasha": Rival("neps", "neural-pipeline-search", neps_method(_neps_moasha)),
    "neps-primo": Rival("neps", "neural-pipeline-search", neps_method(_neps_primo)),
    "smac-parego": Rival("smac", "smac", smac_parego),
}

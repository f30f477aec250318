"""The methods that are replayed: each walks through a table and pays for what it trains."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import optuna
import replay_ablation
from replay_clock import MAX_IDLE, Method, Replay
from replay_default import energy_first
from replay_halving import eps_net_order, moasha
from replay_rivals import RIVALS

from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode, is_active


def random_search(replay: Replay) -> None:
    """Train one random candidate after the other."""
    rng = np.random.default_rng(replay.seed)
    for row in rng.permutation(len(replay.table.candidates)).tolist():
        if replay.is_over:
            return
        replay.train(row, replay.full)


def optuna_method(
    make: Callable[[int], optuna.samplers.BaseSampler],
    *,
    is_flat: bool = False,
    only_energy: bool = False,
) -> Method:
    """Return a method that trains in full what one of Optuna's samplers proposes.

    Args:
        make: Makes the sampler from a seed.
        is_flat: Whether it is asked for all dimensions, also for inactive ones: samplers that model
            only what all trials have in common would draw the others by chance.
        only_energy: Whether energy is the only objective; else the error is another.
    """
    n_objectives = 1 if only_energy else 2

    def run(replay: Replay) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        space = replay.table.space
        directions = ["minimize"] * n_objectives
        study = optuna.create_study(directions=directions, sampler=make(replay.seed))
        n_idle = 0
        while not replay.is_over and n_idle < MAX_IDLE:
            with replay.thinking():
                trial = study.ask()
                values = _suggested(trial, space, is_flat)
            replay.proposals += 1
            before, row = replay.spent, replay.table.row_of(values)
            error = replay.train(row, replay.full)
            with replay.thinking():
                study.tell(trial, [error, replay.energy(row)][-n_objectives:])
            n_idle = n_idle + 1 if replay.spent == before else 0

    return run


def _suggested(trial: optuna.Trial, space: SearchSpace, is_flat: bool) -> dict[str, Value]:
    """Return what a trial proposes, asked for one after the other as conditions hold."""
    values: dict[str, Value] = {}
    for one in space.parameters:
        active = is_active(one, values)
        suggested = _suggest(trial, one) if active or is_flat else None
        if active:
            values[one.name] = suggested
    return values


def _suggest(trial: optuna.Trial, one: Dimension) -> Value:
    """Return a value of a dimension; of numbers that are choices by their place in the row."""
    if one.kind == "categorical" and one.is_ordered and len(one.choices) > 2:
        return one.choices[trial.suggest_int(one.name, 0, len(one.choices) - 1)]
    if one.kind == "categorical":
        return trial.suggest_categorical(one.name, one.choices)
    assert one.low is not None
    assert one.high is not None
    if one.kind == "int":
        return trial.suggest_int(one.name, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(one.name, one.low, one.high, log=one.log)


POPULATION, CONTENDERS = 50, 10


def regularised_evolution(replay: Replay) -> None:
    """Train in full a mutant of the best of some, and let the oldest die (Real et al. 2019).

    That is arXiv 1802.01548 with the best by a non-dominated sort and an eps-net, as in
    `replay_halving`. One dimension of the parent changes, and what hangs on it.
    """
    rng = np.random.default_rng(replay.seed)
    alive: deque[tuple[dict[str, Value], list[float]]] = deque(maxlen=POPULATION)
    n_idle = 0
    while not replay.is_over and n_idle < MAX_IDLE:
        with replay.thinking():
            child = _mutant(replay.table.space, alive, rng)
        replay.proposals += 1
        before, row = replay.spent, replay.table.row_of(child)
        error = replay.train(row, replay.full)
        alive.append((child, [error, math.log(replay.energy(row))]))
        n_idle = n_idle + 1 if replay.spent == before else 0


def _mutant(
    space: SearchSpace,
    alive: Sequence[tuple[dict[str, Value], list[float]]],
    rng: np.random.Generator,
) -> dict[str, Value]:
    if len(alive) < POPULATION:
        return dict(decode(space, partial(_drawn, rng)).parameters())
    some = [alive[index] for index in rng.choice(len(alive), CONTENDERS, replace=False)]
    parent, _ = some[eps_net_order(np.array([losses for _, losses in some]), 1)[0]]
    changed = rng.choice([one.name for one in space.dimensions if one.name in parent])

    def choose(one: Dimension) -> object:
        is_kept = one.name in parent and one.name != changed
        return parent[one.name] if is_kept else _drawn(rng, one)

    return dict(decode(space, choose).parameters())


def _drawn(rng: np.random.Generator, one: Dimension) -> Value:
    """Return a value of a dimension by chance."""
    if one.values is not None:
        return one.values[rng.integers(len(one.values))]
    assert one.low is not None
    assert one.high is not None
    if one.log:
        return math.exp(rng.uniform(math.log(one.low), math.log(one.high)))
    return float(rng.uniform(one.low, one.high))


ETAS = (4, 8, 16)
"""Of how many candidates multi-objective ASHA lets one go on: it is run with each."""
GROUPS = {
    "moasha": tuple(f"moasha-{eta}" for eta in ETAS),
    "ablation": tuple(replay_ablation.METHODS),
}
"""Names that stand for several methods."""
METHODS: dict[str, Method] = {
    "default": energy_first,
    "random": random_search,
    "optuna-default": optuna_method(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "optuna-nsga2": optuna_method(
        lambda seed: optuna.samplers.NSGAIISampler(population_size=20, seed=seed), is_flat=True
    ),
    "optuna-gp": optuna_method(lambda seed: optuna.samplers.GPSampler(seed=seed), is_flat=True),
    "regularised-evolution": regularised_evolution,
    **{f"moasha-{eta}": moasha(eta) for eta in ETAS},
    **{name: rival.method for name, rival in RIVALS.items()},
}
ALL = tuple(METHODS)
"""The methods that are compared unless others are named."""
METHODS |= replay_ablation.METHODS


def expanded(names: list[str]) -> list[str]:
    """Return methods with those that a name stands for ("moasha", "all") in its place."""
    groups = {**GROUPS, "all": ALL}
    found = itertools.chain.from_iterable(groups.get(name, (name,)) for name in names)
    return list(dict.fromkeys(found))

"""The methods that are replayed: each walks through a table and pays for what it trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray
from replay_tables import Table

from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace
from ecoautoml.strategies.energy_first.planner import EnergyFirst, Seen

MAX_IDLE = 200
"""Proposals in a row that had been trained before, after which a method has nothing new to say."""


class Paid(NamedTuple):
    """One training: which row, at which fidelity (the last is a full training)."""

    row: int
    fidelity: int


@dataclass(slots=True)
class Replay:
    """One search on a table: what a method sees, and the clock of what it has paid.

    Args:
        table: The table.
        seed: Seed of the search, and of which training of a candidate it sees.
        budget: Mean full trainings that may be paid for.
    """

    table: Table
    seed: int
    budget: float
    spent: float = 0.0
    trained: list[int] = field(default_factory=list)
    regrets: list[tuple[float, float]] = field(default_factory=list)
    proposals: int = 0
    thinking_s: float = 0.0
    _paid: set[Paid] = field(default_factory=set)
    _seen: tuple[NDArray[np.float64], ...] = ()
    _best: float = 0.0

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 1])
        n = len(self.table.candidates)
        self._seen = tuple(
            each[rng.integers(len(each), size=n), np.arange(n)] for each in self.table.seeds
        )
        self._best = self.table.volume(np.arange(n))

    @property
    def is_over(self) -> bool:
        """Return whether the budget is spent, or there is nothing left to train."""
        return self.spent >= self.budget or len(self.trained) == len(self.table.candidates)

    @property
    def full(self) -> int:
        """Return the fidelity of a full training."""
        return len(self._seen) - 1

    def train(self, row: int, fidelity: int) -> float:
        """Pay for a training and return its error; the same again costs nothing."""
        paid = Paid(row, fidelity)
        if paid not in self._paid:
            self._paid.add(paid)
            self.spent += float(self.table.costs[fidelity, row])
            if fidelity == self.full:
                self.trained.append(row)
                regret = 1.0 - self.table.volume(self.trained) / self._best
                self.regrets.append((self.spent, regret))
        return float(self._seen[fidelity][row])

    @contextmanager
    def thinking(self) -> Iterator[None]:
        """Count the time that choosing takes."""
        started_s = time.perf_counter()
        yield
        self.thinking_s += time.perf_counter() - started_s


Method = Callable[[Replay], None]


def energy_first(replay: Replay) -> None:
    """Train what `ecoautoml.strategies.energy_first` plans."""
    table = replay.table
    planner = EnergyFirst(
        _space(table),
        table.shares,
        is_resumed=False,
        guess_error=table.guess_error,
        seed=replay.seed,
    )
    errors: dict[int, list[float]] = {}

    def costs(candidates: Sequence[Mapping[str, Value]]) -> NDArray[np.float64]:
        return table.known[[table.row_of(one) for one in candidates]]

    while not replay.is_over:
        seen = [
            Seen(values=table.candidates[row], errors=tuple(each)) for row, each in errors.items()
        ]
        with replay.thinking():
            steps = planner.plan(seen, costs)
        replay.proposals += len(steps)
        if not steps:
            return
        for step in steps:
            row = table.row_of(step.values)
            errors.setdefault(row, []).append(replay.train(row, step.rung))


def _space(table: Table) -> SearchSpace:
    dimensions = tuple(
        Dimension(name=name, section="architecture", kind="categorical", choices=choices)
        for name, choices in table.choices.items()
    )
    return SearchSpace(name=table.name, description="", builder="table", parameters=dimensions)


def random_search(replay: Replay) -> None:
    """Train one random candidate after the other."""
    for row in _shuffled(replay):
        if replay.is_over:
            return
        replay.train(row, replay.full)


def optuna_method(make: Callable[[int], optuna.samplers.BaseSampler]) -> Method:
    """Return a method that trains in full what one of Optuna's samplers proposes."""

    def run(replay: Replay) -> None:
        table = replay.table
        space: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(choices)
            for name, choices in table.choices.items()
        }
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=make(replay.seed))
        n_idle = 0
        while not replay.is_over and n_idle < MAX_IDLE:
            with replay.thinking():
                trial = study.ask(space)
            replay.proposals += 1
            before, row = replay.spent, table.row_of(trial.params)
            error = replay.train(row, replay.full)
            study.tell(trial, [error, float(table.energy[row])])
            n_idle = n_idle + 1 if replay.spent == before else 0

    return run


def moasha(reduction: int) -> Method:
    """Return multi-objective ASHA (Schmucker et al. 2021, arXiv 2106.12639).

    A candidate is promoted to the next fidelity when it is among the best 1/reduction of its rung,
    by non-dominated sorting and, within a front, by how far it lies from those ranked before it
    (eps-net); else another random candidate begins.
    """

    def run(replay: Replay) -> None:
        fresh = _shuffled(replay)
        rungs: list[dict[int, float]] = [{} for _ in range(replay.full + 1)]
        while not replay.is_over:
            found = _promotion(replay.table, rungs, reduction)
            row, fidelity = found if found is not None else (next(fresh, None), 0)
            if row is None:
                return
            rungs[fidelity][row] = replay.train(row, fidelity)

    return run


def _promotion(
    table: Table, rungs: list[dict[int, float]], reduction: int
) -> tuple[int, int] | None:
    for fidelity in reversed(range(len(rungs) - 1)):
        rung, above = rungs[fidelity], rungs[fidelity + 1]
        n_kept = len(rung) // reduction
        if n_kept <= len(above):
            continue
        rows = np.array(list(rung))
        losses = np.stack([list(rung.values()), np.log(table.energy[rows])], axis=1)
        for row in rows[_eps_net_order(losses, n_kept)]:
            if row not in above:
                return int(row), fidelity + 1
    return None


def _eps_net_order(losses: NDArray[np.float64], n: int) -> list[int]:
    """Return the best n of points with two losses, front by front.

    Within a front, always the farthest from those before it comes next.
    """
    span = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(span > 0, span, 1.0)
    left = np.lexsort((losses[:, 1], losses[:, 0]))
    order: list[int] = []
    while len(order) < n:
        second = losses[left, 1]
        is_on = second < np.minimum.accumulate(np.concatenate([[np.inf], second[:-1]]))
        order += _spread(left[is_on], scaled)[: n - len(order)]
        left = left[~is_on]
    return order


def _spread(members: NDArray[np.int64], scaled: NDArray[np.float64]) -> list[int]:
    points = scaled[members]
    picked = [int(np.argmin(points.sum(axis=1)))]
    far = np.linalg.norm(points - points[picked[0]], axis=1)
    while len(picked) < len(members):
        far[picked] = -1.0
        picked.append(int(np.argmax(far)))
        far = np.minimum(far, np.linalg.norm(points - points[picked[-1]], axis=1))
    return [int(members[index]) for index in picked]


def _shuffled(replay: Replay) -> Iterator[int]:
    n = len(replay.table.candidates)
    return iter(np.random.default_rng(replay.seed).permutation(n).tolist())


METHODS: dict[str, Method] = {
    "default": energy_first,
    "random": random_search,
    "optuna-default": optuna_method(lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "optuna-nsga2": optuna_method(
        lambda seed: optuna.samplers.NSGAIISampler(population_size=20, seed=seed)
    ),
    "optuna-gp": optuna_method(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "moasha-4": moasha(4),
    "moasha-8": moasha(8),
    "moasha-16": moasha(16),
}

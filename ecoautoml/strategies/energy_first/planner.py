"""What to train next: a new candidate a little, or a promising one to the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.records.candidate import Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode
from ecoautoml.strategies.energy_first.accuracy import AccuracyModel
from ecoautoml.strategies.energy_first.encoding import Encoded, Encoder
from ecoautoml.strategies.energy_first.gain import Steps, index_of
from ecoautoml.strategies.energy_first.process import Points

Array = NDArray[np.float64]
Values = Mapping[str, Value]
Costs = Callable[[Sequence[Values]], Array]
"""Returns what is known before training, ``(n, n_costs)``; the first is the energy."""

START = 20
"""Candidates looked at before the model is asked, spread over their energies."""
RANDOM, NEIGHBOURS = 100, 400
"""Candidates considered each time: by chance, and next to those on the front so far."""
SCREENS = 8
"""New candidates looked at before the model is asked again."""
FAILED = 0.97
"""Share of the error of guessing from which on a training counts as failed."""
NEAR = 0.15
"""Distance at which a neighbour's failure counts for e times less."""
WORST = 0.9
"""Quantile of the first candidates' errors beyond which nothing counts."""
OUTCOMES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
"""Nodes and weights that stand for a normal distribution (Gauss and Hermite)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A candidate that was trained to some rung.

    Attributes:
        values: Its values by dimension.
        errors: Its error at each rung it has reached, at least the first.
    """

    values: Values
    errors: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do next.

    Attributes:
        values: The candidate.
        rung: To which rung it is to be trained.
        index: Expected hypervolume per unit of cost; None for the first ones, chosen by chance.
    """

    values: Values
    rung: int
    index: float | None


class EnergyFirst:
    """Plans a search for accurate models of little energy.

    Energy is known before training, so each candidate's place along that axis is certain, and what
    it may add to the front depends on its error alone. A short training shows whether a longer one
    is worth it; both are chosen by what they are expected to add per cost.

    Args:
        space: Where candidates come from.
        shares: Share of a full training at each rung, ascending; the last is 1.
        is_resumed: Whether a longer training goes on where the shorter one ended.
        guess_error: Error of guessing; None: unknown, then no training counts as failed.
        seed: Seed of all chance.
    """

    def __init__(
        self,
        space: SearchSpace,
        shares: Sequence[float],
        *,
        is_resumed: bool = True,
        guess_error: float | None = None,
        seed: int = 0,
    ) -> None:
        self._space, self._shares, self._is_resumed = space, tuple(shares), is_resumed
        self._rng = np.random.default_rng(seed)
        self._encoder = Encoder(space)
        self._model = AccuracyModel(shares, self._rng)
        self._failed = math.inf if guess_error is None else FAILED * guess_error

    def plan(self, seen: Sequence[Seen], costs: Costs) -> list[Step]:
        """Return what to train next, all of it before asking again; none when all is trained.

        Args:
            seen: Everything trained so far, in the order it began; the same each time, with more.
            costs: Tells what is known of candidates before training.
        """
        viable = [one for one in seen if one.errors[0] < self._failed]
        steps = self._begin(seen, costs) if len(seen) < START or not viable else []
        return self._go_on(seen, viable, costs) if not steps and viable else steps

    # --- the beginning --------------------------------------------------------------------------

    def _begin(self, seen: Sequence[Seen], costs: Costs) -> list[Step]:
        """Return candidates by chance, one from each part of the range of energies."""
        known = {_key(one.values) for one in seen}
        pool = [one for one in self._by_chance(20 * START) if _key(one) not in known]
        if not pool:
            return []
        order = np.argsort(costs(pool)[:, 0])
        parts = [part for part in np.array_split(order, START) if len(part)]
        chosen = [pool[self._rng.choice(part)] for part in parts]
        return [Step(values=values, rung=0, index=None) for values in chosen]

    # --- later ----------------------------------------------------------------------------------

    def _go_on(self, seen: Sequence[Seen], viable: Sequence[Seen], costs: Costs) -> list[Step]:
        known = costs([one.values for one in viable])
        new = self._pool(seen, viable, np.log(known[:, 0]))
        tables = [known, costs(new) if new else np.zeros((0, known.shape[1]))]
        points, new_points = self._points(viable, new, tables)
        log_energy, new_log_energy = (np.log(table[:, 0]) for table in tables)
        bound = self._bound(viable)
        logs = self._model.learn(points, [one.errors for one in viable], bound)
        last = self._model.last
        done = [index for index, one in enumerate(viable) if len(one.errors) > last]
        steps = Steps.of(
            [float(log_energy[index]) for index in done],
            [viable[index].errors[last] for index in done],
            (bound, float(max(log_energy.max(), new_log_energy.max(initial=-np.inf)))),
        )
        # a model a little cheaper than any that works would swallow the hypervolume, if it worked
        least = float(log_energy.min())
        waiting = [index for index, one in enumerate(viable) if len(one.errors) <= last]
        values = self._value_of_waiting(points, waiting, logs, steps, np.maximum(log_energy, least))
        index_new = (
            self._value_of_new(new_points, steps, np.maximum(new_log_energy, least))
            * self._chance_to_work(seen, new_points.encoded)
            if new
            else np.zeros(0)
        )
        best_waiting = max(values, key=lambda index: values[index], default=None)
        best_new = float(index_new.max(initial=0.0))
        if best_waiting is not None and values[best_waiting] >= best_new:
            one = viable[best_waiting]
            return [Step(values=one.values, rung=len(one.errors), index=values[best_waiting])]
        if not new:
            return []
        order = np.argsort(-index_new)[:SCREENS]
        return [Step(values=new[i], rung=0, index=float(index_new[i])) for i in order]

    def _value_of_waiting(
        self,
        points: Points,
        waiting: Sequence[int],
        logs: Sequence[Sequence[float]],
        steps: Steps,
        log_energy: Array,
    ) -> dict[int, float]:
        """Return the gain per cost of training each candidate that waits to the end."""
        found: dict[int, float] = {}
        for rung in range(self._model.last):
            these = [index for index in waiting if len(logs[index]) == rung + 1]
            if not these:
                continue
            rows = np.array(these)
            before = np.array([logs[index][rung] for index in these])
            forecast = self._model.final(points.rows(rows), rung, before)
            gains = steps.expected_gain(log_energy[rows], forecast.mean, forecast.variance)
            found |= dict(zip(these, (gains / self._rest(rung)).tolist(), strict=True))
        return found

    def _value_of_new(self, points: Points, steps: Steps, log_energy: Array) -> Array:
        """Return the gain per cost of looking at new candidates, and going on where worth it."""
        first = self._model.first(points)
        end = self._model.final(points, 0, first.mean)
        deviation = end.slope * np.sqrt(first.variance)
        gains = [
            steps.expected_gain(log_energy, end.mean + node * deviation, end.variance)
            for node in OUTCOMES
        ]
        n = len(log_energy)
        look, rest = np.full(n, self._shares[0]), np.full(n, self._rest(0))
        return index_of(np.stack(gains, axis=1), WEIGHTS / WEIGHTS.sum(), look, rest)

    def _rest(self, rung: int) -> float:
        """Return the cost of training to the end from a rung, in full trainings."""
        return 1.0 - (self._shares[rung] if self._is_resumed else 0.0)

    def _bound(self, viable: Sequence[Seen]) -> float:
        """Return the error beyond which nothing counts, as the first candidates suggest."""
        last = self._model.last
        falls = [
            math.log(max(one.errors[last], 1e-6) / max(one.errors[0], 1e-6))
            for one in viable
            if len(one.errors) > last
        ]
        fall = float(np.median(falls)) if falls else -self._model.total_fall
        ends = [
            one.errors[last] if len(one.errors) > last else one.errors[0] * math.exp(fall)
            for one in viable[:START]
        ]
        return float(np.quantile(ends, WORST))

    def _chance_to_work(self, seen: Sequence[Seen], new: Encoded) -> Array:
        """Return how likely each new candidate is not to fail, from how its neighbours did."""
        has_failed = np.array([one.errors[0] >= self._failed for one in seen])
        if not has_failed.any():
            return np.ones(len(new.numbers))
        apart = new.distance(self._encoder.encode([one.values for one in seen]))
        near = np.exp(-apart / NEAR)
        return np.asarray(1.0 - (near @ has_failed) / near.sum(axis=1))

    def _points(
        self, viable: Sequence[Seen], new: Sequence[Values], tables: Sequence[Array]
    ) -> tuple[Points, Points]:
        """Return what was trained and what is new as the model's inputs, on the same scales."""
        encoded = [
            self._encoder.encode([one.values for one in viable]),
            self._encoder.encode(new),
        ]
        logs = [np.log(np.maximum(table, 1e-12)) for table in tables]
        costs = _scaled(logs)
        traits = _scaled([each.traits for each in encoded])
        first, second = (
            Points(
                encoded=each,
                features=np.hstack([cost, trait]),
                costs=cost,
                basis=np.zeros((len(cost), 0)),
            )
            for each, cost, trait in zip(encoded, costs, traits, strict=True)
        )
        return first, second

    # --- candidates -----------------------------------------------------------------------------

    def _pool(
        self, seen: Sequence[Seen], viable: Sequence[Seen], log_energy: Array
    ) -> list[Values]:
        """Return new candidates: some by chance, more next to those that lead so far."""
        known = {_key(one.values) for one in seen}
        parents = [viable[index].values for index in self._leading(viable, log_energy)]
        found = self._by_chance(RANDOM)
        for _ in range(NEIGHBOURS):
            parent = parents[self._rng.integers(len(parents))]
            found.append(self._neighbour(parent, int(self._rng.integers(1, 3))))
        return list({_key(one): one for one in found if _key(one) not in known}.values())

    def _leading(self, viable: Sequence[Seen], log_energy: Array) -> list[int]:
        """Return who has, for its energy, the least error at the first rung or at the end."""
        leading: list[int] = []
        for rung in sorted({0, self._model.last}):
            reached = [i for i, one in enumerate(viable) if len(one.errors) > rung]
            losses = np.array([[log_energy[i], viable[i].errors[rung]] for i in reached])
            if reached:
                leading += np.array(reached)[non_dominated_mask(losses)].tolist()
        return leading

    def _by_chance(self, n: int) -> list[Values]:
        found = [decode(self._space, self._draw).parameters() for _ in range(n)]
        return list({_key(one): one for one in found}.values())

    def _neighbour(self, parent: Values, n_changes: int) -> Values:
        """Return a candidate that differs in some dimensions, and in what hangs on them."""
        varying = [one.name for one in self._space.dimensions if one.name in parent]
        changed = set(self._rng.choice(varying, size=min(n_changes, len(varying)), replace=False))

        def choose(dimension: Dimension) -> object:
            if dimension.name in parent and dimension.name not in changed:
                return parent[dimension.name]
            return self._draw(dimension)

        return decode(self._space, choose).parameters()

    def _draw(self, dimension: Dimension) -> object:
        """Return a value of a dimension by chance."""
        values = dimension.values
        if values is not None and not dimension.log:
            return values[self._rng.integers(len(values))]
        assert dimension.low is not None
        assert dimension.high is not None
        low, high = float(dimension.low), float(dimension.high)
        if not dimension.log:
            return self._rng.uniform(low, high)
        drawn = math.exp(self._rng.uniform(math.log(low), math.log(high)))
        if values is None:
            return min(max(drawn, low), high)
        return min(values, key=lambda value: abs(float(value) - drawn))  # type: ignore[arg-type]


def _key(values: Values) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(values.items()))


def _scaled(tables: Sequence[Array]) -> list[Array]:
    """Return tables of the same columns with mean 0 and deviation 1 over all their rows."""
    every = np.vstack(tables)
    if not every.shape[1]:
        return list(tables)
    mean, deviation = every.mean(axis=0), every.std(axis=0)
    return [(table - mean) / np.where(deviation > 1e-9, deviation, 1.0) for table in tables]

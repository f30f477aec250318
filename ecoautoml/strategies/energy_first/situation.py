"""Where a search stands: costs and errors of all it has seen and may look at, and the front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.strategies.energy_first.accuracy import AccuracyModel
from ecoautoml.strategies.energy_first.costs import forecast_costs
from ecoautoml.strategies.energy_first.encoding import Encoded, Encoder
from ecoautoml.strategies.energy_first.gain import Front
from ecoautoml.strategies.energy_first.memory import Memory
from ecoautoml.strategies.energy_first.problem import Goal, Seen, Status, Values
from ecoautoml.strategies.energy_first.process import Kernel, Points

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
MOST_LEARNT = 400
"""Candidates the models learn from; the cost of a plan does not grow beyond."""
PRICE_POWER = 0.25
"""Prices of trainings count by this power. In full they drew a search to ever more of the cheapest
candidates (docs/search_measured.md, "What did not help")."""
GUESSING = 0.97
"""Share of the error of guessing from which on a training has learnt nothing in the end."""
FAILING_PRIOR = Kernel(log=np.log([0.8, 0.2, 0.2, 2.0, 0.1, 0.02]))
LEARNING_UNIT = 0.5
"""Deviation of whether candidates learn, from their learning, before any has ended."""
LEAST_TO_WORK = 0.01
"""Chance to work that every candidate keeps."""
EASY = 1.25
"""Where a target is so easy, errors count up to so many times its own."""
ROOM = math.log(2.0)
"""How far below the costs from which on nothing counts a candidate may gain by costing less, where
nothing that works costs so little."""
DOUBTS = ndtri([0.1, 0.3, 0.5, 0.7, 0.9])
"""What stands for all that a forecast may turn out to be, in deviations."""
WORST, FIRST = 0.9, 20
"""Quantile of the first candidates' errors beyond which nothing counts; how many these are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known and expected of candidates: first those seen, then new ones.

    Attributes:
        seen: Candidates that were begun, ``n_seen`` of them.
        fresh: New candidates.
        points: All candidates, ``n`` of them.
        places: The same as rows of a `Lattice`, ``(n, n_parameters)``.
        log_costs: Expected log costs, objectives first, ``(n, n_costs)``.
        cost_variance: Their variances; 0 where known.
        price: What training in full takes, in mean full trainings, to the power of `PRICE_POWER`,
            ``(n,)``.
        works: Chance not to fail, ``(n,)``.
        models: One model of accuracy per score; empty while nothing was trained.
        logs: Log errors by score, then by row of what was trained, at each rung reached.
        bounds: Error beyond which nothing counts, by score.
    """

    seen: Sequence[Seen]
    fresh: Sequence[Values]
    points: Points
    places: Array
    log_costs: Array
    cost_variance: Array
    price: Array
    works: Array
    models: tuple[AccuracyModel, ...]
    logs: tuple[Mapping[int, Sequence[float]], ...]
    bounds: tuple[float, ...]

    def rows(self, status: Status) -> list[int]:
        """Return who of those seen has a status."""
        return [row for row, one in enumerate(self.seen) if one.status is status]

    @property
    def new(self) -> Rows:
        """Return the rows of new candidates."""
        return np.arange(len(self.seen), len(self.points))


def has_learnt_nothing(one: Seen, goal: Goal, last: int) -> bool:
    """Return whether a candidate is no better than guessing at the last rung.

    At earlier ones that proves nothing: after a very short training many are not.
    """
    if goal.guess_error is None or len(one.errors) <= last:
        return False
    return one.errors[last][0] >= GUESSING * goal.guess_error


def has_failed(one: Seen, goal: Goal, last: int) -> bool:
    """Return whether a candidate broke down, or learnt nothing in all."""
    return one.has_failed or has_learnt_nothing(one, goal, last)


def selected(seen: Sequence[Seen], goal: Goal, last: int, most: int = MOST_LEARNT) -> list[Seen]:
    """Return the candidates to learn from and to choose among; all of them while they are few.

    Kept are those that run, those that lead at a rung for what they cost, and the latest.
    """
    if len(seen) <= most:
        return list(seen)
    keep = {one.number for one in seen if one.status is Status.RUNNING}
    for rung in sorted({last, 0}):
        works = [one for one in seen if len(one.errors) > rung and not has_failed(one, goal, last)]
        for one in _layered(works, rung, most // 3):
            keep.add(one.number)
    for one in reversed(seen):
        if len(keep) >= most:
            break
        keep.add(one.number)
    return [one for one in seen if one.number in keep]


def _layered(seen: Sequence[Seen], rung: int, count: int) -> list[Seen]:
    """Return candidates front by front, until there are enough."""
    losses = [[*one.errors[rung], *(cost or math.inf for cost in one.costs)] for one in seen]
    table = np.nan_to_num(np.array(losses), posinf=1e300)
    left, found = np.arange(len(seen)), list[int]()
    while len(left) and len(found) < count:
        is_on = non_dominated_mask(table[left])
        found += left[is_on].tolist()
        left = left[~is_on]
    return [seen[row] for row in found[:count]]


def assess(
    seen: Sequence[Seen],
    fresh: Sequence[Values],
    places: Array,
    known: Array,
    costs: Sequence[Sequence[float | None]],
    encoder: Encoder,
    goal: Goal,
    shares: Sequence[float],
    memory: Memory,
    *,
    is_resumed: bool,
) -> Situation:
    """Return where a search stands.

    Args:
        seen: Candidates that were begun.
        fresh: New candidates.
        places: All candidates as rows of a `Lattice`, those seen first, ``(n, n_parameters)``.
        known: What is known of any candidate beforehand, above 0, ``(n, n_known)``.
        costs: Costs of all candidates, ``(n, n_costs)``; None where unknown.
        encoder: Encodes places.
        goal: What the search is after.
        shares: Share of a full training at each rung.
        memory: Keeps kernel parameters.
        is_resumed: Whether a longer training goes on where the shorter one ended.
    """
    n_seen, last = len(seen), len(shares) - 1
    encoded = encoder.encode(places)
    log_known = np.log(np.maximum(known, 1e-12))
    cost_points = _points(encoded, log_known, encoded.numbers)
    log_costs, variance = forecast_costs("cost", memory, cost_points, costs, n_seen)
    prices = [(one.price,) for one in seen] + [(None,)] * (len(places) - n_seen)
    log_price, _ = forecast_costs("price", memory, cost_points, prices, n_seen)
    price = np.exp(PRICE_POWER * log_price[:, 0])
    n_features = goal.n_features if known.shape[1] else 0
    scores = log_costs[:, log_costs.shape[1] - n_features :]
    points = _points(encoded, np.hstack([log_known, scores]) if known.shape[1] else log_costs)
    trained = [row for row, one in enumerate(seen) if one.errors and _teaches(one, goal, last)]
    working = [row for row in trained if not has_failed(seen[row], goal, last)]
    first = (working or trained)[:FIRST]
    models, logs, bounds = [], [], []
    for score in range(goal.n_scores if trained else 0):
        errors = {row: [each[score] for each in seen[row].errors] for row in trained}
        model = AccuracyModel(f"score {score}", shares, memory, is_resumed=is_resumed)
        bound = min(_bound(errors, first, model), goal.worst_errors[score])
        easy = 0.0 if score or goal.target_error is None else EASY * goal.target_error
        bound = max(bound, easy)
        logs.append(model.learn(points, errors, bound))
        bound = max(easy, min(bound, _settled_bound(errors, first, logs[-1], model, points)))
        running = [
            row for row, one in enumerate(seen) if one.status is Status.RUNNING and not one.errors
        ]
        if running:
            model.believe(points.rows(running))
        models.append(model)
        bounds.append(bound)
    return Situation(
        seen=seen,
        fresh=fresh,
        points=points,
        places=places,
        log_costs=log_costs,
        cost_variance=variance,
        price=price / price[:n_seen].mean() if n_seen else price,
        works=_chance_to_work(seen, goal, last, points, memory),
        models=tuple(models),
        logs=tuple(logs),
        bounds=tuple(bounds),
    )


def _teaches(one: Seen, goal: Goal, last: int) -> bool:
    """Return whether a candidate's errors are learnt from.

    Without first looks, candidates that learn nothing are left to `_chance_to_work`. With looks
    their ends tell the model also that their looks meant nothing; without them here, looks that
    tell nothing left twice the regret on NAS-Bench-201 CIFAR-10.
    """
    return last > 0 or not has_failed(one, goal, last)


def _chance_to_work(
    seen: Sequence[Seen], goal: Goal, last: int, points: Points, memory: Memory
) -> Array:
    """Return how likely candidates are neither to break down nor to learn nothing, ``(n,)``."""
    begun = [row for row, one in enumerate(seen) if one.errors or one.has_failed]
    works = _works("breaking", points, begun, [seen[row].has_failed for row in begun], memory)
    works[[row for row, one in enumerate(seen) if one.errors]] = 1.0
    ended = [row for row, one in enumerate(seen) if len(one.errors) > last]
    nothing = [has_learnt_nothing(seen[row], goal, last) for row in ended]
    return works * _works("learning", points, ended, nothing, memory, scale=LEARNING_UNIT)


def _works(
    name: str,
    points: Points,
    known: Sequence[int],
    failed: Sequence[bool],
    memory: Memory,
    scale: float | None = None,
) -> Array:
    """Return how likely candidates are not to fail, from which of some rows did, ``(n,)``."""
    if not any(failed):
        return np.ones(len(points))
    labels = np.array(failed, dtype=np.float64)
    process = memory.fit(name, points.rows(known), labels, FAILING_PRIOR, scale=scale)
    likely, _ = process.predict(points)
    return np.clip(1.0 - likely, LEAST_TO_WORK, 1.0)


def front_of(situation: Situation, goal: Goal, last: int) -> tuple[Front, Array]:
    """Return the front of what has been trained to the end, and the least costs of what works.

    Costs are those to be kept low, then the log errors of all scores but the first. Those that run
    to the end are on it with the error they are expected to reach.
    """
    rows, errors, axes = [], [], []
    for row in situation.logs[0]:
        one = situation.seen[row]
        found = _expected_end(situation, row, last)
        if found is not None and one.is_allowed:
            rows.append(row)
            errors.append(found[0])
            axes.append([*situation.log_costs[row, : goal.n_costs], *map(math.log, found[1:])])
    works = [row for row in situation.logs[0] if not has_failed(situation.seen[row], goal, last)]
    worst = situation.log_costs[:, : goal.n_costs].max(axis=0, initial=-np.inf)
    worst = np.minimum(worst, np.log(goal.worst_costs)) if goal.n_costs else worst
    worst = np.concatenate([worst, np.log(situation.bounds[1:])])
    # a model a little cheaper than any that works would swallow the hypervolume, if it worked
    least = situation.log_costs[works, : goal.n_costs].min(axis=0, initial=np.inf)
    # unless all that works so far costs too much to count
    most = np.log(goal.worst_costs[: goal.n_costs])
    least = np.where(least < most, least, most - ROOM)
    if goal.is_open_below:
        least = np.full(goal.n_costs, -np.inf)
    width = goal.n_costs + goal.n_scores - 1
    front = Front.of(
        np.array(axes, dtype=np.float64).reshape(len(rows), width),
        np.array(errors, dtype=np.float64),
        worst_error=situation.bounds[0],
        worst_costs=worst,
        target=goal.target_error or 0.0,
    )
    return front, np.concatenate([least, np.full(goal.n_scores - 1, -np.inf)])


def _expected_end(situation: Situation, row: int, last: int) -> list[float] | None:
    """Return a candidate's errors at the end, expected ones if it runs there; None for others."""
    one = situation.seen[row]
    if len(one.errors) > last:
        return [max(each, 1e-6) for each in one.errors[last]]
    if one.status is not Status.RUNNING or len(one.errors) < last:
        return None
    rows = np.array([row])
    found = []
    for model, logs in zip(situation.models, situation.logs, strict=True):
        before = np.array([logs[row][-1]])
        forecast = model.final(
            situation.points.rows(rows),
            len(one.errors) - 1,
            before,
        )
        found.append(float(np.exp(forecast.mean[0])))
    return found


def _bound(
    errors: Mapping[int, Sequence[float]], first: Sequence[int], model: AccuracyModel
) -> float:
    """Return the error beyond which nothing counts, as the first that work suggest (rows)."""
    last = model.last
    falls = [
        math.log(max(each[last], 1e-6) / max(each[0], 1e-6))
        for each in errors.values()
        if len(each) > last
    ]
    fall = float(np.median(falls)) if falls else -model.total_fall
    known = [errors[row] for row in first]
    ends = [each[last] if len(each) > last else each[0] * math.exp(fall) for each in known]
    return float(np.quantile(ends, WORST))


def _settled_bound(
    errors: Mapping[int, Sequence[float]],
    first: Sequence[int],
    logs: Mapping[int, Sequence[float]],
    model: AccuracyModel,
    points: Points,
) -> float:
    """Return the error beyond which nothing counts, as the model sees the first candidates' ends.

    Where first looks tell little, ends lie closer together than looks do.
    """
    ends = [errors[row][model.last] for row in first if len(errors[row]) > model.last]
    ends *= len(DOUBTS)
    for rung in range(model.last):
        reached = [row for row in first if len(errors[row]) == rung + 1]
        before = np.array([logs[row][rung] for row in reached])
        if reached:
            end = model.final(points.rows(reached), rung, before)
            spread = np.sqrt(end.variance)[:, None] * DOUBTS
            ends += np.exp(end.mean[:, None] + spread).ravel().tolist()
    return float(np.quantile(ends, WORST))


def _points(encoded: Encoded, logs: Array, *linear: Array) -> Points:
    """Return candidates as inputs of a process: logarithms beside traits, and what is linear."""
    return Points(
        encoded=encoded,
        features=np.hstack([_scaled(logs), _scaled(encoded.traits)]),
        costs=_scaled(np.hstack([logs, *linear])),
        basis=np.zeros((len(encoded), 0)),
    )


def _scaled(table: Array) -> Array:
    """Return a table with columns of mean 0 and deviation 1."""
    if not table.shape[1] or not len(table):
        return table
    mean, deviation = table.mean(axis=0), table.std(axis=0)
    return np.asarray((table - mean) / np.where(deviation > 1e-9, deviation, 1.0))

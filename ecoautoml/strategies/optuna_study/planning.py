"""From what an Optuna study's trials say to a plan, energy first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from ecoautoml.records.candidate import Value
from ecoautoml.strategies.energy_first.lattice import Lattice
from ecoautoml.strategies.energy_first.planner import EnergyFirst
from ecoautoml.strategies.energy_first.problem import Goal, Seen, Status, Values
from ecoautoml.strategies.optuna_study.losses import CostScale, Scale, signs_of
from ecoautoml.strategies.optuna_study.reading import (
    PROPOSAL,
    Finished,
    Function,
    Reading,
    ask,
    read_long,
)
from ecoautoml.strategies.optuna_study.space import StudySpace

Array = NDArray[np.float64]
RANDOM_SHARE = 0.3
"""Share of the candidates drawn by chance; the others are next to those that lead."""
MOST_LEARNT = 200
"""Trials the models learn from: those that lead, and the latest."""
SPARE = 8
"""Further proposals to fall back on, where rounding makes one equal to an earlier trial."""
MOST_ANSWERS = 4096
"""Answers of the user's functions that are remembered."""
RUNNING = 10**9
"""Running trials are numbered from here."""
DRAWS = 64
"""Random candidates from which the scale of known costs is taken, where these are not positive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a study is after.

    Attributes:
        signs: What the values of each objective are multiplied with to be losses.
        known: Objectives known before training.
        learnt: The others.
        is_exact: Whether what is known is what trials then report.
        is_positive: For each objective that is known, whether its losses so far are above 0.
        constraints: Names of the constraints.
    """

    signs: tuple[float, ...]
    known: tuple[int, ...]
    learnt: tuple[int, ...]
    is_exact: bool
    is_positive: tuple[bool, ...]
    constraints: tuple[str, ...]

    @classmethod
    def of(
        cls,
        directions: Sequence[StudyDirection],
        finished: Sequence[Finished],
        known: tuple[int, ...],
    ) -> Task:
        """Return what a study is after.

        Args:
            directions: Of its objectives.
            finished: Its finished trials.
            known: Objectives with a function for what is known.
        """
        signs = tuple(signs_of(directions).tolist())
        constraints = sorted({name for one in finished for name in one.constraints})
        complete = [one for one in finished if one.is_complete]
        before = np.array([one.known for one in complete]).reshape(len(complete), len(known))
        losses = before * np.array([signs[index] for index in known])
        return cls(
            signs=signs,
            known=known,
            learnt=tuple(index for index in range(len(signs)) if index not in known),
            is_exact=bool(known) and not constraints and all(one.is_as_known for one in complete),
            is_positive=tuple(not (column <= 0).any() for column in losses.T),
            constraints=tuple(constraints),
        )

    @property
    def goal(self) -> Goal:
        """Return the goal of the planner: learnt objectives are scores, known ones are costs."""
        n_limited = len(self.constraints) or int(not self.known)  # at least one cost of any kind
        limit = 1.0 if self.constraints else math.inf
        return Goal(
            n_scores=len(self.learnt),
            n_costs=len(self.known),
            limits=(*[math.inf] * len(self.known), *[limit] * n_limited),
            worst_errors=(math.inf,) * len(self.learnt),
            worst_costs=(math.inf,) * len(self.known),
            is_open_below=True,
        )


class StudyPlanner:
    """Plans one study, as long as its space and what is known of its objectives do not change.

    Args:
        space: The parameters to propose.
        task: What the study is after.
        functions: What is known of objectives before training.
        seed: Seed of all chance.
        start: Trials begun before a model is used.
        n_candidates: Candidates considered per proposal.
    """

    def __init__(
        self,
        space: StudySpace,
        task: Task,
        functions: Mapping[int, Function],
        *,
        seed: int,
        start: int,
        n_candidates: int,
    ) -> None:
        self._space, self._task = space, task
        n_random = max(1, round(RANDOM_SHARE * n_candidates))
        search_space = space.search_space()
        self._known = _Known(space, task, functions)
        self._lattice, self._seed = Lattice(search_space), seed
        self._known.set_scales(self._draw(DRAWS, 0))
        self._planner = EnergyFirst(
            search_space,
            (1.0,),
            self._known,
            goal=task.goal,
            is_exact=task.is_exact,
            start=start,
            n_random=n_random,
            n_neighbours=max(1, n_candidates - n_random),
            most_learnt=MOST_LEARNT,
            seed=seed,
        )
        self._codes: dict[int, Values] = {}
        self._tried: set[object] = set()
        self._running: dict[object, int] = {}

    def propose(self, reading: Reading, trial: FrozenTrial) -> tuple[Values, Mapping[str, Any]]:
        """Return what stands for the values to try next, and what is to be kept.

        Args:
            reading: The study.
            trial: The trial that is to begin.

        Where all there is has been tried, something is tried again.
        """
        running = [(one, self._running_codes(one)) for one in reading.running]
        n_unseen = sum(not codes and one.number < trial.number for one, codes in running)
        seen = self._seen_finished(reading.finished)
        seen |= {one.number: self._seen_running(one, codes) for one, codes in running if codes}
        ordered = [seen[number] for number in sorted(seen)]
        plan = self._planner.plan(ordered, reading.state, most=1 + n_unseen + SPARE)
        now = {_key(codes) for _, codes in running}
        options = (self._rounded(step.values) for step in plan.steps)
        possible = (one for one in options if _key(one) not in now and self._is_worth(one))
        # earlier trials whose values are not known yet may get the first ones at this moment
        chosen = list(itertools.islice(possible, 1 + n_unseen))
        if not chosen:  # all there is has been tried
            again = [self._rounded(one) for one in self._draw(SPARE, 1 + trial.number)]
            chosen = [next((one for one in again if self._is_possible(one)), again[0])]
        return chosen[-1], plan.state

    # --- what has been seen ---------------------------------------------------------------------

    def _seen_finished(self, finished: Sequence[Finished]) -> dict[int, Seen]:
        n, known, learnt = len(self._task.signs), self._task.known, self._task.learnt
        unknown = (math.nan,) * n
        values = [unknown if one.values is None else one.values for one in finished]
        losses = np.array(values, dtype=np.float64).reshape(len(values), n) * self._task.signs
        errors = np.column_stack([Scale.of(one).positive(one) for one in losses.T[list(learnt)]])
        before = np.array([one.known for one in finished]).reshape(len(finished), len(known))
        hints = before * np.array([self._task.signs[index] for index in known])
        reported = losses[:, known]
        costs = self._known.positive(np.where(np.isfinite(reported), reported, hints))
        rows = np.hstack([costs, self._limited(finished)])
        has_errors = [all(map(math.isfinite, row)) for row in errors.tolist()]
        table = rows.astype(object)
        table[np.isnan(rows)] = None
        return {
            one.number: Seen(
                number=one.number,
                values=codes,
                errors=(tuple(error),) if has_error else (),
                costs=tuple(row),
                price=one.price,
                status=Status.CLOSED,
                has_failed=not has_error,
                is_allowed=one.is_complete and one.is_allowed,
            )
            for one, error, has_error, row in zip(
                finished, errors.tolist(), has_errors, table.tolist(), strict=True
            )
            if (codes := self._codes_of(one))
        }

    def _limited(self, finished: Sequence[Finished]) -> Array:
        """Return constraints as costs, which may be 1 at most; a constant where there are none."""
        names = self._task.constraints
        if not names:
            return np.ones((len(finished), int(not self._task.known)))
        table = [[one.constraints.get(name, math.nan) for name in names] for one in finished]
        values = np.array(table, dtype=np.float64).reshape(len(finished), len(names))
        sizes = np.where(np.isfinite(values) & (values != 0), np.abs(values), math.nan)
        unit = np.array([_median(column) for column in sizes.T])
        return np.asarray(np.exp(np.arcsinh(np.clip(values / unit, -1e6, 1e6))))

    def _seen_running(self, trial: FrozenTrial, codes: Values) -> Seen:
        # a number of its own for what of it is known so far: more may be known next time
        key = trial.number, tuple(codes.items())
        return Seen(
            number=RUNNING + self._running.setdefault(key, len(self._running)),
            values=codes,
            costs=(None,) * len(self._task.goal.limits),
            status=Status.RUNNING,
        )

    def _codes_of(self, one: Finished) -> Values:
        if one.number not in self._codes:
            self._codes[one.number] = self._space.encode(one.trial)
            self._tried.add(_key(self._codes[one.number]))
        return self._codes[one.number]

    def _running_codes(self, trial: FrozenTrial) -> dict[str, Value]:
        """Return the values of a trial that runs: as proposed, where they are not asked for yet."""
        proposed = read_long(trial, PROPOSAL) or {}
        known = {name: code for name, code in proposed.items() if self._space.has(name, code)}
        return known | self._space.encode(trial)

    # --- what to try ----------------------------------------------------------------------------

    def _draw(self, n: int, stream: int) -> list[Values]:
        """Return random candidates."""
        rows = self._lattice.draw(np.random.default_rng([self._seed, 2, stream]), n)
        return [self._lattice.values(row) for row in rows]

    def _rounded(self, codes: Values) -> Values:
        axes = self._space.axes
        return {name: axes[name].encode(axes[name].decode(code)) for name, code in codes.items()}

    def _is_worth(self, codes: Values) -> bool:
        """Return whether something is new and possible."""
        return _key(codes) not in self._tried and self._is_possible(codes)

    def _is_possible(self, codes: Values) -> bool:
        """Return whether no cost that is known beforehand is infinite."""
        return not np.isinf(self._known.losses([codes])).any()


class _Known:
    """Tells the planner what is known of candidates before they are trained."""

    def __init__(self, space: StudySpace, task: Task, functions: Mapping[int, Function]) -> None:
        self._space = space
        self._functions = [
            (f"costs[{index}]", functions[index], task.signs[index]) for index in task.known
        ]
        self._is_positive = task.is_positive
        self._scales = [CostScale() for _ in task.known]
        self._answers: dict[object, list[float]] = {}

    def set_scales(self, candidates: Sequence[Values]) -> None:
        """Take the scales of costs that are not all positive from some candidates."""
        columns = self.losses(candidates).T
        self._scales = [
            CostScale.of(column, is_positive=is_positive)
            for column, is_positive in zip(columns, self._is_positive, strict=True)
        ]

    def __call__(self, candidates: Sequence[Values]) -> Array:
        """Return what is known, above 0; what is not known is made up from the others."""
        known = self.positive(self.losses(candidates))
        for column in known.T:
            finite = column[np.isfinite(column)]
            column[np.isposinf(column)] = finite.max(initial=1.0)
            column[np.isnan(column)] = np.median(finite) if len(finite) else 1.0
        return known

    def losses(self, candidates: Sequence[Values]) -> Array:
        """Return what the user's functions say, as losses; NaN where that is not known."""
        if len(self._answers) + len(candidates) > MOST_ANSWERS:
            self._answers.clear()
        rows = [self._answer(one) for one in candidates] if self._functions else []
        return np.array(rows, dtype=np.float64).reshape(len(candidates), len(self._functions))

    def positive(self, losses: Array) -> Array:
        """Return losses made positive."""
        columns = zip(self._scales, losses.T, strict=True)
        found = [scale.positive(column) for scale, column in columns]
        return np.stack(found, axis=1) if found else np.empty((len(losses), 0))

    def _answer(self, codes: Values) -> list[float]:
        key = tuple(codes.items())
        if key not in self._answers:
            params = {**self._space.constants, **self._space.decode(codes)}
            self._answers[key] = [
                sign * ask(name, one, params) for name, one, sign in self._functions
            ]
        return self._answers[key]


def _key(codes: Values) -> object:
    """Return what is the same for the same values, but for the rounding of floats."""
    return tuple(
        (name, f"{code:.9g}" if isinstance(code, float) else code) for name, code in codes.items()
    )


def _median(column: Array) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else 1.0

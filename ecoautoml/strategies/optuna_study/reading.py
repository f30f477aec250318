"""What an Optuna study's trials say, each read once, and what strategies keep with them."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecoautoml.strategies.optuna_study.space import StudySpace

Params = Mapping[str, Any]
Function = Callable[[Params], float]
PROPOSAL, STATE = "energy_first:proposal", "energy_first:state"
"""System attributes of a trial: the values proposed for it; what the sampler wanted to be kept."""
EXACT = 1e-6
"""Relative difference up to which a cost known beforehand is what the trial reports."""
REPORT = "front_pruner:report"
"""User attributes of a trial: what it reported, one attribute per step."""
LONGEST = 2000
"""Characters in one attribute; databases take 2045 (`optuna.storages.RDBStorage`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A trial that has ended.

    Attributes:
        number: Its number.
        trial: What Optuna knows of it.
        values: Its objectives, or what it last reported of them, NaN where nothing; None: nothing.
        is_complete: Whether it came to its end.
        is_allowed: Whether no constraint is violated.
        constraints: Value of each constraint; above 0 is a violation.
        known: What was known of objectives before it began, in the order of the functions; NaN
            where that cannot be said.
        is_as_known: Whether that is what came out.
        price: What training took, in any unit; None: unknown.
    """

    number: int
    trial: FrozenTrial
    values: tuple[float, ...] | None
    is_complete: bool
    is_allowed: bool
    constraints: Mapping[str, float]
    known: tuple[float, ...]
    is_as_known: bool
    price: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A study at one moment, as one of its trials sees it.

    Attributes:
        finished: Trials that have ended, by number.
        running: Other trials that run, by number.
        state: What the sampler wanted to be kept.
    """

    finished: Sequence[Finished]
    running: Sequence[FrozenTrial]
    state: Mapping[str, Any]


class StudyReader:
    """Reads one study, each finished trial once.

    Args:
        study: The study.
        functions: What is known of objectives before training, by objective.
        price: What training takes; None: unknown.
    """

    def __init__(
        self, study: Study, functions: Mapping[int, Function], price: Function | None
    ) -> None:
        self.study, self._functions, self._price = study, functions, price
        self._finished: dict[int, Finished] = {}
        self._complete: list[FrozenTrial] = []
        self._has_warned = False
        self.space = StudySpace(axes={}, conditions={}, constants={})

    def read(self, trial: FrozenTrial) -> Reading:
        """Return what is known of the study when one of its trials is to begin."""
        trials = self.study.get_trials(deepcopy=False)
        for one in trials:
            if one.number not in self._finished and one.state.is_finished():
                self._finished[one.number] = self._read(one)
                self._learn_space(one)
        return Reading(
            finished=[self._finished[number] for number in sorted(self._finished)],
            running=[
                one
                for one in trials
                if one.state is TrialState.RUNNING and one.number != trial.number
            ],
            state=_last_state(trials),
        )

    def _learn_space(self, trial: FrozenTrial) -> None:
        """Look whether the space still explains a trial; seek another if not.

        Trials are looked at in turn, so one who reads them all later finds the same.
        """
        if trial.state is not TrialState.COMPLETE or not trial.params:
            return
        self._complete.append(trial)
        if not self.space.explains(trial):
            self.space = StudySpace.of(self._complete)

    def _read(self, trial: FrozenTrial) -> Finished:
        is_complete, values = trial.state is TrialState.COMPLETE, trial.values
        if values is None and trial.state is TrialState.PRUNED:
            values = last_report(trial.user_attrs)
        known = tuple(
            ask(f"costs[{index}]", function, trial.params)
            for index, function in self._functions.items()
        )
        if is_complete and not self._has_warned:
            self._has_warned = self._warn(trial.number, known)
        price = None if self._price is None else ask("price", self._price, trial.params)
        if price is not None and price <= 0:
            raise ValueError(f"price gave {price:g} for trial {trial.number}: it is to be above 0")
        constraints = trial.constraints
        return Finished(
            number=trial.number,
            trial=trial,
            values=None if values is None else tuple(values),
            is_complete=is_complete,
            is_allowed=all(one <= 0 for one in constraints.values()),
            constraints=constraints,
            known=known,
            is_as_known=values is not None
            and all(
                math.isclose(one, values[index], rel_tol=EXACT)
                for index, one in zip(self._functions, known, strict=True)
                if index < len(values)
            ),
            price=price if price is not None and math.isfinite(price) else None,
        )

    def _warn(self, number: int, known: Sequence[float]) -> bool:
        """Say which cost is not known of a complete trial; return whether there is one."""
        for index, value in zip(self._functions, known, strict=True):
            if math.isnan(value):
                warnings.warn(
                    f"costs[{index}] gives nothing for trial {number}: it asks for a parameter "
                    "that is not there, or returns NaN; this cost is learnt instead",
                    stacklevel=2,
                )
                return True
        return False


def check_costs(costs: object, n_objectives: int | None = None) -> None:
    """Check which objectives are said to be known before training, and by which functions.

    Args:
        costs: Functions by number of the objective, or numbers alone.
        n_objectives: How many objectives there are; None: not known yet.

    Raises:
        ValueError: That is not what was given, or there are no such objectives, or all are known.
    """
    if not isinstance(costs, Collection) or isinstance(costs, str):
        raise ValueError(
            f"costs is {costs!r}: expected functions by objective, such as {{1: macs}}"
        )
    upto = "" if n_objectives is None else f" to {n_objectives - 1}"
    for index in costs:
        if not isinstance(index, int) or index < 0 or (n_objectives and index >= n_objectives):
            raise ValueError(f"costs names objective {index!r}: they are numbered from 0{upto}")
        if isinstance(costs, Mapping) and not callable(costs[index]):
            raise ValueError(
                f"costs[{index}] is {costs[index]!r}: expected a function of trial.params"
            )
    if len(costs) == n_objectives:
        raise ValueError("costs names all objectives: at least one is to be learnt from trials")


def ask(name: str, function: Function, params: Params) -> float:
    """Return what a user's function says; NaN where it asks for a parameter that is not there.

    Raises:
        ValueError: It is not a number.
    """
    try:
        answer = function(params)
    except KeyError:
        return math.nan
    try:
        return float(answer)
    except (TypeError, ValueError):
        raise ValueError(f"{name} gave {answer!r} for {dict(params)}: expected a number") from None


def is_same_study(one: Study, two: Study) -> bool:
    """Return whether two objects are the same study of the same storage."""
    return one._storage is two._storage and one._study_id == two._study_id


def reports_of(attributes: Mapping[str, Any]) -> dict[int, tuple[float | None, ...]]:
    """Return what a trial reported, by step; what a report leaves out is as it was before.

    None where there is nothing yet.
    """
    prefix = f"{REPORT}:"
    given = {
        int(name.removeprefix(prefix)): values
        for name, values in attributes.items()
        if name.startswith(prefix)
    }
    reports: dict[int, tuple[float | None, ...]] = {}
    before: Sequence[float | None] = ()
    for step, values in sorted(given.items()):
        before = before or (None,) * len(values)
        before = reports[step] = tuple(
            old if new is None else float(new) for old, new in zip(before, values, strict=True)
        )
    return reports


def last_report(attributes: Mapping[str, Any]) -> list[float] | None:
    """Return the objectives as a trial reported them last, NaN where it did not; None: nothing."""
    reports = reports_of(attributes)
    if not reports:
        return None
    return [math.nan if value is None else value for value in reports[max(reports)]]


def write_long(study: Study, trial: FrozenTrial, name: str, content: Any) -> None:
    """Keep something with a trial, in as many system attributes as it needs."""
    text = json.dumps(content)
    for part, start in enumerate(range(0, len(text), LONGEST)):
        # as Optuna's own samplers do it; there is no public way to system attributes
        study._storage.set_trial_system_attr(
            trial._trial_id, f"{name}:{part}", text[start : start + LONGEST]
        )


def read_long(trial: FrozenTrial, name: str) -> Any:
    """Return what `write_long` kept; None: nothing."""
    parts: list[str] = []
    while (part := trial.system_attrs.get(f"{name}:{len(parts)}")) is not None:
        parts.append(part)
    return json.loads("".join(parts)) if parts else None


def _last_state(trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    for trial in reversed(trials):
        state = read_long(trial, STATE)
        if state is not None:
            return dict(state)
    return {}

"""Stopping trials early in an Optuna study of one's own, with any number of objectives.

    pruner = FrontPruner(steps=20, costs={1: lambda params: macs(params)})

    def objective(trial):
        ...
        for epoch in range(1, 21):
            ...
            pruner.report(trial, epoch, [error, None])
            if pruner.should_prune(trial):
                raise optuna.TrialPruned

Optuna's own ``Trial.report`` and its pruners refuse several objectives
(https://github.com/optuna/optuna/issues/3450). Reports are kept here as user attributes of the
trial, so they are in the study's storage: other processes see them, and a study that goes on later
has them.

Whether a trial stops is for one of our pruners to say. These know scores and costs by name: what is
learnt during training stands in for the scores, what is known before it for the costs.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial

from ecoautoml.config.load import load_config
from ecoautoml.config.models import PrunerConfig
from ecoautoml.errors import ConfigError
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.columns import SCORES
from ecoautoml.records.progress import CONTINUE, Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.optuna_study.losses import ErrorScale, signs_of
from ecoautoml.strategies.optuna_study.reading import (
    REPORT,
    Function,
    Params,
    ask,
    check_costs,
    is_same_study,
    reports_of,
)
from ecoautoml.strategies.pruners import make_pruner

Array = NDArray[np.float64]
COSTS = ("inference_energy_j", "latency_ms", "params", "macs", "size_bytes")
"""Columns that stand in for what is known before training."""
REASON, WATCHED = "front_pruner:reason", "front_pruner:would_have_stopped"
"""User attributes of a trial: why it was stopped; after how many reports it would have been."""
STATES = {
    optuna.trial.TrialState.COMPLETE: TrialState.COMPLETE,
    optuna.trial.TrialState.PRUNED: TrialState.PRUNED,
    optuna.trial.TrialState.FAIL: TrialState.FAILED,
}
PAUSING = ("halving", "hyperband")
"""Pruners that halt trials and go on with them later, which a study of Optuna's cannot."""

Rule = str | Mapping[str, Any]
Steps = int | Callable[[Params], int]


class FrontPruner:
    """Stops trials that will not join the front.

    Of the objectives some are known before training (``costs``), the others are learnt during it
    and reported. A trial is stopped for being behind finished ones that cost no more, so the cheap
    end of the front is safe. Nothing is stopped before a few trials have finished, nor as long as
    an objective of the trial has neither been reported nor is known.

    The same study gives the same decisions.

    Args:
        steps: Reports that a full training makes; or a function of ``trial.params`` that tells.
        costs: Objectives known before training: for each its number and a function of
            ``trial.params``; or numbers alone, where the cost is reported, once is enough.
        rule: How to decide: "auto" (the chance to join the front, from learning curves),
            "dominance", "median" or "patience"; with options as a mapping (``{"kind": "median",
            "min_curves": 8}``, see the configuration's ``pruner``).
        seed: Seed of the chance by which some that would be stopped run on, to show how many stops
            are wrong (rule "auto").

    Raises:
        ValueError: An argument is not what is allowed; the message says what is.
    """

    def __init__(
        self,
        steps: Steps,
        costs: Mapping[int, Function] | Collection[int] = (),
        *,
        rule: Rule = "auto",
        seed: int = 0,
    ) -> None:
        if not callable(steps) and (not isinstance(steps, int) or steps < 1):
            raise ValueError(f"steps is {steps!r}: expected an integer from 1, or a function")
        check_costs(costs)
        self._steps, self._config, self._seed = steps, _config_of(rule), seed
        self._functions = dict(costs) if isinstance(costs, Mapping) else {}
        self._known = tuple(sorted(costs))
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_steps", "_config", "_seed", "_functions", "_known")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._reader: _Reader | None = None
        self._rule: Pruner | None = None
        self._lock = threading.Lock()

    def report(self, trial: BaseTrial, step: int, values: float | Sequence[float | None]) -> None:
        """Keep what a trial has reached.

        Args:
            trial: The trial.
            step: Tells reports from each other and orders them; counted from anywhere, the same for
                all trials.
            values: One value per objective, in the study's order and direction. None where nothing
                new is known: what was reported before stays, and functions tell known costs. NaN
                counts as the worst. A number alone where there is one objective.

        Raises:
            ValueError: Values and objectives differ in number.
            optuna.exceptions.UpdateFinishedTrialError: The trial has ended.
        """
        given = list(values) if isinstance(values, Sequence | np.ndarray) else [values]
        study = _study_of(trial)
        if study is not None and len(given) != len(study.directions):
            raise ValueError(f"{len(given)} values for {len(study.directions)} objectives")
        kept = [None if value is None else float(value) for value in given]
        trial.set_user_attr(f"{REPORT}:{operator.index(step)}", kept)

    def should_prune(self, trial: BaseTrial) -> bool:
        """Return whether a trial is to be stopped, going by its last report.

        Why is written to the trial, as a user attribute.
        """
        study = _study_of(trial)
        if study is None or WATCHED in trial.user_attrs:
            return False
        with self._lock:
            decision, epoch = self._decide(study, trial)
        is_stopped = decision.action is Action.PRUNE
        is_shadow = is_stopped and bool(getattr(self._config, "shadow", False))
        if decision.is_withheld or is_shadow:
            trial.set_user_attr(WATCHED, epoch)
        if is_stopped:
            trial.set_user_attr(REASON, decision.reason)
        return is_stopped and not is_shadow

    def _decide(self, study: Study, trial: BaseTrial) -> tuple[Decision, int]:
        """Return what the rule says of a trial, and after how many of its reports."""
        if self._reader is None or not is_same_study(study, self._reader.study):
            self._reader = _Reader(study, self._steps, self._known, self._functions)
            self._rule = make_pruner(self._config, self._reader.names, self._seed)
        assert self._rule is not None
        self._reader.read()
        running = self._reader.running(trial.number, trial.params, trial.user_attrs)
        if not running.curve or not running.curve[-1].metrics.keys() >= set(self._reader.names):
            return CONTINUE, running.epoch
        return self._rule.decide(running, self._reader.history()), running.epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A trial that has ended, in the study's own numbers; unknown ones are NaN.

    Attributes:
        trial: What Optuna knows of it.
        reports: What it reported of each objective, ``(n_reports, n_objectives)``.
        is_known: Where that is known, ``(n_reports, n_objectives)``.
        final: What came out, or else is known without training, ``(n_objectives,)``.
    """

    trial: FrozenTrial
    reports: Array
    is_known: NDArray[np.bool_]
    final: Array


class _Reader:
    """Reads one study, each finished trial once, into what pruners work with.

    Args:
        study: The study.
        steps: Reports of a full training.
        known: Objectives known before training.
        functions: What tells them, where that is not reported.
    """

    def __init__(
        self,
        study: Study,
        steps: Steps,
        known: tuple[int, ...],
        functions: Mapping[int, Function],
    ) -> None:
        check_costs(known, len(study.directions))
        self.study, self._steps = study, steps
        self._known, self._functions = known, functions
        self._signs = signs_of(study.directions)
        self._learnt = tuple(i for i in range(len(self._signs)) if i not in known)
        if len(self._learnt) > len(SCORES) or len(known) > len(COSTS):
            raise ValueError(
                f"{len(self._learnt)} objectives are learnt and {len(known)} known beforehand: "
                f"{len(SCORES)} and {len(COSTS)} at most"
            )
        self.names = (*SCORES[: len(self._learnt)], *COSTS[: len(known)])
        self._ended: dict[int, _Ended] = {}
        self._scales: tuple[ErrorScale, ...] | None = None
        self._results: dict[int, TrialResult] = {}

    def read(self) -> None:
        """Take up what has finished meanwhile."""
        trials = self.study.get_trials(deepcopy=False)
        fresh = [one for one in trials if one.number not in self._ended and one.state.is_finished()]
        if not fresh and self._scales is not None:
            return
        self._ended |= {one.number: self._read(one) for one in fresh}
        scales = self._found_scales()
        if scales != self._scales:
            self._scales = scales
            self._results.clear()
        for number in self._ended.keys() - self._results.keys():
            self._results[number] = self._result(self._ended[number])

    def history(self) -> History:
        """Return the finished trials."""
        return History(finished=[self._results[number] for number in sorted(self._results)])

    def running(self, number: int, params: Params, attributes: Mapping[str, Any]) -> Running:
        """Return a trial that runs."""
        table, is_known = self._table(params, attributes)
        epochs = self._epochs(params, is_known)
        return Running(
            number=number,
            candidate=_candidate(params),
            epochs=epochs,
            curve=self._curve(number, epochs, table, is_known),
        )

    # --- from Optuna's numbers to ours ----------------------------------------------------------

    def _read(self, trial: FrozenTrial) -> _Ended:
        table, is_known = self._table(trial.params, trial.user_attrs)
        final = self._known_of(trial.params)
        if trial.values is not None:
            final = np.array(trial.values, dtype=np.float64)
        return _Ended(trial=trial, reports=table, is_known=is_known, final=final)

    def _known_of(self, params: Params) -> Array:
        """Return what is known of all objectives without training; NaN where nothing."""
        found = np.full(len(self._signs), np.nan)
        for index, function in self._functions.items():
            found[index] = ask(f"costs[{index}]", function, params)
        return found

    def _table(
        self, params: Params, attributes: Mapping[str, Any]
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return what a trial reported, and where it is known, ``(n_reports, n_objectives)``."""
        reports = list(reports_of(attributes).values())
        shape = (len(reports), len(self._signs))
        is_known = np.array([[one is not None for one in row] for row in reports], dtype=np.bool_)
        is_known = is_known.reshape(shape)
        table = np.array(reports, dtype=np.float64).reshape(shape)
        table = np.where(is_known, table, self._known_of(params))
        is_known[:, self._known] = ~np.isnan(table[:, self._known])
        return table, is_known

    def _epochs(self, params: Params, is_known: NDArray[np.bool_]) -> int:
        """Return how many reports a trial makes of what is learnt."""
        done = int(is_known[:, self._learnt].any(axis=1).sum())
        steps = ask("steps", self._steps, params) if callable(self._steps) else self._steps
        return done if np.isnan(steps) else max(int(steps), done)

    def _found_scales(self) -> tuple[ErrorScale, ...]:
        """Return the scales of the finished trials, so that running ones change nothing."""
        empty = np.empty((0, len(self._signs)))
        tables = [table for one in self._ended.values() for table in (one.final[None], one.reports)]
        table = np.vstack([empty, *tables])
        return tuple(ErrorScale.of(table[:, i], float(self._signs[i])) for i in self._learnt)

    def _result(self, one: _Ended) -> TrialResult:
        trial, state = one.trial, STATES[one.trial.state]
        is_complete = state is TrialState.COMPLETE
        if is_complete and any(value > 0 for value in trial.constraints.values()):
            state = TrialState.INFEASIBLE
        epochs = self._epochs(trial.params, one.is_known)
        curve = self._curve(trial.number, epochs, one.reports, one.is_known)
        final = self._metrics(one.final[None], ~np.isnan(one.final[None]))[0]
        return TrialResult(
            number=trial.number,
            state=state,
            candidate=_candidate(trial.params),
            metrics=final if is_complete else {},
            curve=curve,
            epochs=curve[-1].epoch if curve else 0,
            would_have_stopped=trial.user_attrs.get(WATCHED),
        )

    def _curve(
        self, number: int, epochs: int, table: Array, is_known: NDArray[np.bool_]
    ) -> tuple[Progress, ...]:
        """Return reports as progress: an epoch ends with each that tells what is learnt."""
        done = np.cumsum(is_known[:, self._learnt].any(axis=1)).tolist()
        return tuple(
            Progress(trial=number, epoch=epoch, epochs=epochs, metrics=metrics)
            for epoch, metrics in zip(done, self._metrics(table, is_known), strict=True)
        )

    def _metrics(self, table: Array, is_known: NDArray[np.bool_]) -> list[dict[str, float]]:
        """Return objectives, where they are known, under the names that stand in for them."""
        assert self._scales is not None
        scores = [
            1.0 - scale.errors(table[:, i])
            for i, scale in zip(self._learnt, self._scales, strict=True)
        ]
        costs = [self._signs[i] * table[:, i] for i in self._known]  # only their order counts
        is_there = is_known[:, (*self._learnt, *self._known)].tolist()
        return [
            {name: value for name, value, has in zip(self.names, row, there, strict=True) if has}
            for row, there in zip(
                np.stack([*scores, *costs], axis=1).tolist(), is_there, strict=True
            )
        ]


def _config_of(rule: Rule) -> PrunerConfig:
    """Return a rule as the configuration reads it."""
    try:
        config = load_config({"data": "digits", "space": "tiny", "pruner": rule}).pruner
    except ConfigError as error:
        text = str(error).removeprefix("config: ")
        raise ValueError(text.replace("'pruner", "'rule")) from None
    if config.kind in PAUSING:
        raise ValueError(f"rule {config.kind} pauses trials, which a study of Optuna's cannot")
    return config


def _study_of(trial: BaseTrial) -> Study | None:
    """Return the study of a trial; None for one without (`optuna.trial.FixedTrial`)."""
    study = getattr(trial, "study", None)
    return study if isinstance(study, Study) else None


def _candidate(params: Params) -> Candidate:
    return Candidate(space="study", builder="", architecture={}, hyperparameters=dict(params))

"""Multi-objective successive halving: of the trials that come to a rung, the best go on.

A training has rungs: shares of its epochs, each ``reduction`` times the one before. A trial that
comes to a rung is halted there at a checkpoint, unless it is already among the best of its rung. As
more trials come to the rung, more of those that wait are among the best: they go on from their
checkpoints, before anything new begins. Nobody waits for a rung to fill (asynchronous successive
halving, Li et al. 2020, arXiv 1810.05934), and what "best" means with several objectives is
`ranking.ranked`'s (Schmucker et al. 2021, arXiv 2106.12639).

Of n trials at a rung, n / reduction may go on. Since the best change as trials come, in all
somewhat more do: that is the price of not waiting, with one objective as with several.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecoautoml.pareto.front import Losses
from ecoautoml.pareto.scale import as_losses
from ecoautoml.records.columns import METRICS
from ecoautoml.records.progress import CONTINUE, Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.records.turn import Move, Turn
from ecoautoml.strategies.base import GoOn, History, Pruner, Running
from ecoautoml.strategies.ranking import ranked
from ecoautoml.strategies.samplers import derive_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The rungs of every training, numbered from 0; the last is its end.

    Attributes:
        reduction: How many times as long as the one before a rung is; at least 2.
        last: Number of the last rung.
    """

    reduction: int
    last: int

    @classmethod
    def of(cls, reduction: int, min_share: float) -> Ladder:
        """Return the ladder with as many rungs as there are above a share of the epochs.

        Args:
            reduction: At least 2.
            min_share: Of its epochs, what a trial is at least trained for; within (0, 1].
        """
        last = 0
        while reduction ** (last + 1) * min_share <= 1:
            last += 1
        return cls(reduction=reduction, last=last)

    def epochs_of(self, epochs: int, first: int = 0) -> dict[int, int]:
        """Return after how many epochs a training comes to its rungs, by rung.

        A rung is at least one epoch, and never a smaller share than it is meant to be. Rungs that
        fall on one epoch are one, the highest of them: trials are compared at equal shares, and a
        short training has no rungs at the smallest shares.

        Args:
            epochs: Of the whole training.
            first: Its first rung.
        """
        rungs = range(first, self.last + 1)
        highest = {-(-epochs // self.reduction ** (self.last - rung)): rung for rung in rungs}
        return {rung: epoch for epoch, rung in highest.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How far a trial has come.

    Attributes:
        number: Its number.
        epochs: Epochs it would train for.
        curve: Its reports.
        is_complete: Whether it was trained to its end, be it before its last epoch: then it is
            among the others at every rung, with its last report.
    """

    number: int
    epochs: int
    curve: Sequence[Progress]
    is_complete: bool = False

    @property
    def furthest(self) -> int:
        """Return the epochs it has been trained at most."""
        return max((report.epoch for report in self.curve), default=0)

    def at(self, epoch: int) -> Progress | None:
        """Return its report at an epoch, None when it has not come so far."""
        if len(self.curve) > epoch and self.curve[epoch].epoch == epoch:
            return self.curve[epoch]  # as a rule: one report per epoch, after the probe's
        if self.furthest < epoch and not self.is_complete:
            return None
        by_then = [report for report in self.curve if 0 < report.epoch <= epoch]
        return max(by_then, key=lambda report: report.epoch, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """The trials that have come to a rung.

    Attributes:
        order: Their numbers, the best first.
        reduction: Of how many one goes on.
    """

    order: tuple[int, ...]
    reduction: int

    @property
    def best(self) -> tuple[int, ...]:
        """Return those that may go on."""
        return self.order[: len(self.order) // self.reduction]

    def words(self, number: int) -> str:
        """Return in which place one of them is, and who goes on."""
        n_best = len(self.best)
        place = f"in place {self.order.index(number) + 1} of {len(self.order)}"
        if not n_best:
            return f"{place}; none goes on before there are {self.reduction}"
        return f"{place}; the best {'one goes' if n_best == 1 else f'{n_best} go'} on"


class HalvingPruner(Pruner):
    """See the module's text.

    Args:
        objectives: Objectives of the search, by column name.
        ladder: The rungs.
        ranking: How those of a rung are ranked, see `ranking.RANKINGS`.
        seed: Seed of the search, for what is ranked by chance.
        first_rung: First rung of a trial, by its number. Trials are compared with those that have
            the same first rung.
    """

    def __init__(
        self,
        *,
        objectives: Sequence[str],
        ladder: Ladder,
        ranking: str,
        seed: int,
        first_rung: Callable[[int], int] = lambda number: 0,
    ) -> None:
        self._objectives, self._ladder, self._ranking = tuple(objectives), ladder, ranking
        self._seed, self._first_rung = seed, first_rung

    def decide(self, trial: Running, history: History) -> Decision:
        """Return PAUSE at a rung, unless the trial is among the best there already.

        One that begins again, because its checkpoint is gone, is not halted where it was before.
        """
        course = _running_course(trial)
        last = self._ladder.last
        rung = next((r for r, at in self._epochs_of(course).items() if at == trial.epoch), last)
        has_been_here = any(report.epoch >= trial.epoch for report in trial.curve[:-1])
        if rung == last or has_been_here:
            return CONTINUE
        courses = [*_courses(history), course]  # the later one, where it is among those running
        now = self._filled(rung, self._first_rung(trial.number), courses)
        if trial.number in now.best:
            return CONTINUE
        reason = f"after epoch {trial.epoch} of {trial.epochs} {now.words(trial.number)}"
        return Decision(action=Action.PAUSE, reason=reason)

    def promote(self, history: History) -> GoOn | None:
        """Return the best trial that waits at the highest rung of which one may go on."""
        courses = _courses(history)
        for (rung, first), waiting in self._waiting(history.paused):
            now = self._filled(rung, first, courses)
            number = next((one for one in now.best if one in waiting), None)
            if number is not None:
                course = waiting[number]
                at = self._epochs_of(course)[rung]
                reason = f"after epoch {at} of {course.epochs} {now.words(number)}"
                turn = Turn(move=Move.GO_ON, epoch=course.furthest, reason=reason)
                return GoOn(number=number, turn=turn)
        return None

    def _waiting(
        self, paused: Iterable[TrialResult]
    ) -> list[tuple[tuple[int, int], Mapping[int, Course]]]:
        """Return the halted trials by rung and first rung, the highest rung first."""
        found: dict[tuple[int, int], dict[int, Course]] = defaultdict(dict)
        for course in map(_course, (one for one in paused if one.curve)):
            rungs = self._epochs_of(course).items()
            reached = [rung for rung, epoch in rungs if epoch <= course.furthest]
            if reached:
                found[max(reached), self._first_rung(course.number)][course.number] = course
        return sorted(found.items(), key=lambda item: (-item[0][0], item[0][1]))

    def _filled(self, rung: int, first: int, courses: Iterable[Course]) -> Rung:
        """Return those of one first rung that have come to a rung."""
        reports: dict[int, Progress] = {}
        for course in sorted(courses, key=lambda one: one.number):
            epoch = self._epochs_of(course).get(rung)
            report = None if epoch is None else course.at(epoch)
            if report is not None and self._first_rung(course.number) == first:
                reports[course.number] = report
        numbers = list(reports)
        order = ranked(
            self._losses(list(reports.values())),
            self._ranking,
            [derive_seed(self._seed, "ranking", number) for number in numbers],
        )
        return Rung(order=tuple(numbers[row] for row in order), reduction=self._ladder.reduction)

    def _losses(self, reports: Sequence[Progress]) -> Losses:
        """Return the objectives as far as they are known, costs on a log scale."""
        names = self._objectives
        values = [[one.metrics.get(name, np.nan) for name in names] for one in reports]
        return as_losses(
            np.reshape(np.asarray(values, dtype=np.float64), (len(reports), len(names))),
            [METRICS[name].direction for name in names],
            [column for column, name in enumerate(names) if not METRICS[name].is_score],
        )

    def _epochs_of(self, course: Course) -> dict[int, int]:
        return self._ladder.epochs_of(course.epochs, self._first_rung(course.number))


def _courses(history: History) -> list[Course]:
    """Return how far everybody has come of whom anything is known."""
    running = map(_running_course, history.running)
    ended = map(_course, (*history.finished, *history.paused))
    return [course for course in (*ended, *running) if course.curve]


def _running_course(trial: Running) -> Course:
    return Course(number=trial.number, epochs=trial.epochs, curve=trial.curve)


def _course(result: TrialResult) -> Course:
    return Course(
        number=result.number,
        epochs=result.curve[-1].epochs if result.curve else 0,
        curve=result.curve,
        is_complete=result.state is TrialState.COMPLETE,
    )

"""The contracts of what decides: planners say what to train next, pruners what to stop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.records.progress import CONTINUE, Decision, Progress
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.records.turn import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial that runs now.

    Attributes:
        number: Its number.
        candidate: What it trains.
        epochs: Epochs it would train for.
        curve: All its reports, also those before a pause, oldest first; the first (epoch 0) is
            the probe. Empty until then.
        would_have_stopped: Epoch at which it would have been stopped, were it not watched.
        parent: Number of the trial whose trained network it is a variant of; None: it trains.
    """

    number: int
    candidate: Candidate
    epochs: int
    curve: tuple[Progress, ...] = ()
    would_have_stopped: int | None = None
    parent: int | None = None

    @property
    def epoch(self) -> int:
        """Return the epochs it has been trained."""
        return self.curve[-1].epoch if self.curve else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All trials of a search.

    Attributes:
        finished: Those that have ended, by number.
        paused: Those that may go on from a checkpoint, by number.
        running: Those that run now, by number.
        left: What may still be spent, as a multiple of what was spent so far; inf: any amount.
        may_begin: Whether the budget allows a new trial.
    """

    finished: Sequence[TrialResult] = ()
    paused: Sequence[TrialResult] = ()
    running: Sequence[Running] = ()
    left: float = math.inf
    may_begin: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier run of the same or a similar space.

    Attributes:
        name: Its name.
        results: Its trials.
        front: Its front's candidates, as values by dimension.
        has_same_costs: Whether its costs were measured on the same machine.
    """

    name: str
    results: Sequence[TrialResult]
    front: Sequence[Mapping[str, Value]]
    has_same_costs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begin a new trial.

    Attributes:
        turn: Why.
        values: Its values by dimension; None: the sampler is asked.
        state: What the planner wants to find again (JSON); None: nothing has changed.
        parent: Number of the trial whose trained network is taken; None: one is trained.
    """

    turn: Turn
    values: Mapping[str, Value] | None = None
    state: Mapping[str, object] | None = field(default=None, compare=False)
    parent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoOn:
    """Go on with a paused trial.

    Attributes:
        number: Its number.
        turn: Why.
        state: As in `Begin`.
    """

    number: int
    turn: Turn
    state: Mapping[str, object] | None = field(default=None, compare=False)


class Pruner(ABC):
    """Decides at every report of a trial whether it goes on.

    Called in the main process, once per report, in the order of the reports. A pruner keeps no
    state: the same trial and history give the same decision, so a resumed search decides as an
    uninterrupted one.
    """

    @abstractmethod
    def decide(self, trial: Running, history: History) -> Decision:
        """Return whether the trial goes on.

        Args:
            trial: The trial that has just reported.
            history: The others; the trial itself may be among those running.
        """

    def promote(self, history: History) -> GoOn | None:
        """Return a paused trial that is to go on before anything new begins, None for none."""
        return None


class Planner(ABC):
    """Decides what is trained next, and when it is halted for something better.

    The same history and state give the same answer, so a resumed search goes on as an
    uninterrupted one.
    """

    @abstractmethod
    def next(self, history: History, state: Mapping[str, object]) -> Begin | GoOn | None:
        """Return what to do with a free worker; None: nothing for now.

        Args:
            history: All trials so far.
            state: What it last gave to be kept; empty at first.
        """

    def decide(self, trial: Running, history: History, state: Mapping[str, object]) -> Decision:
        """Return whether a trial that has just reported goes on, or makes room.

        Args:
            trial: The trial.
            history: The others; the trial itself may be among those running.
            state: What it last gave to be kept.
        """
        return CONTINUE

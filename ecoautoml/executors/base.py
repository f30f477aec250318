"""The contract between a search and the place where its trials run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.progress import Decision, EnergyMark, Progress
from ecoautoml.records.trial_result import TrialJob, TrialResult


class Driver(Protocol):
    """What an executor asks of the search. All calls come from one thread, one at a time."""

    def ask(self) -> TrialJob | None:
        """Return the next trial, None when there is none until another has ended."""

    def report(self, progress: Progress) -> Decision:
        """Return what a trial is told after a report."""

    def tell(self, result: TrialResult) -> None:
        """Take the result of a trial; called exactly once for every trial that was asked for."""

    def mark(self, *marks: EnergyMark) -> None:
        """Take the joules of all running trials so far: at least every 5 s, and after `tell`."""

    def stop(self) -> Decision | None:
        """Return what all running trials are told to end now, None to go on."""


class Executor(ABC):
    """Runs trials. Only records cross its border, so trials may run anywhere.

    It starts what `Driver.ask` returns, as many at once as it has workers, and survives whatever
    a trial does: a crash, a hang, too much memory end that trial alone, as FAILED with its reason
    and its joules.
    """

    @abstractmethod
    def run(self, driver: Driver) -> None:
        """Run trials until the driver has no more, or stops."""

    @abstractmethod
    def call(
        self,
        task: Any,
        *,
        name: str,
        time_limit_s: float,
        should_stop: Callable[[], bool] = lambda: False,
        on_mark: Callable[[], None] = lambda: None,
    ) -> Any:
        """Run one task (`ecoautoml.executors.messages`) while no trial runs, and return its answer.

        Its joules are part of `overhead`, also while it runs, and also when it fails.

        Args:
            task: What to do.
            name: Its line of the bill.
            time_limit_s: Seconds after which it is given up.
            should_stop: Asked twice a second; true gives it up.
            on_mark: Called every 2 s meanwhile.

        Raises:
            EcoAutoMLError: The task failed, took too long, or was given up.
        """

    @abstractmethod
    def overhead(self) -> tuple[EnergyLine, ...]:
        """Return joules that belong to no trial: starting workers, and tasks, so far."""

    @abstractmethod
    def close(self) -> None:
        """End all workers; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

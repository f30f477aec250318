"""Worker processes on this machine."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from ecoautoml.energy.select import MeterSet
from ecoautoml.errors import EcoAutoMLError
from ecoautoml.executors.base import Driver, Executor
from ecoautoml.executors.messages import Ready, TaskFailed, WorkerSetup
from ecoautoml.executors.worker_process import WorkerProcess
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.progress import Progress
from ecoautoml.records.trial_result import OUT_OF_MEMORY, STATE_AFTER, TrialResult, TrialState

logger = logging.getLogger(__name__)

TICK_S = 0.5
"""How often the main process looks after its workers."""
MARK_EVERY_S = 2.0
"""How often joules of running trials are marked; 5 s is what is promised."""
GRACE_S = 40.0
"""How long a worker may take to answer a request to stop before it is killed. Measuring is not
interrupted, and by NVML it takes longer: then the trial's joules are those read from outside."""
START_LIMIT_S = 300.0
"""How long a worker may take to set itself up."""
PATIENCE_S = 5.0
"""How long an idle worker may take to end."""
MAX_FAILED_STARTS = 3
"""Workers in a row that may die while starting, before the search gives up."""


class LocalExecutor(Executor):
    """Runs trials in reused worker processes.

    Args:
        setup: What every worker needs.
        workers: How many trials run at once.
        time_limit_s: Seconds after which a trial is ended as failed.
        open_meters: Opens energy meters, to read workers from outside.
        grace_s: How long a worker may take to answer a request to stop before it is killed.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        *,
        workers: int,
        time_limit_s: float,
        open_meters: Callable[[], MeterSet],
        grace_s: float = GRACE_S,
    ) -> None:
        self._setup, self._n_workers, self._time_limit_s = setup, workers, time_limit_s
        self._open_meters, self._grace_s = open_meters, grace_s
        self._workers: list[WorkerProcess] = []
        self._overhead: list[EnergyLine] = []
        self._failed_starts = 0
        self._marked_s = 0.0
        self._is_exhausted = False

    def start(self) -> None:
        """Start all workers, so that what is wrong with them shows before anything is begun.

        Raises:
            EcoAutoMLError: A worker cannot be set up.
        """
        self._fill()
        while not all(worker.is_ready for worker in self._workers):
            self._listen(None)
            self._fill()

    def run(self, driver: Driver) -> None:
        """Run trials until the driver has no more, or stops."""
        self._is_exhausted = False
        while True:
            stop = driver.stop()
            if stop is None and not self._is_exhausted:
                self._fill()
                self._is_exhausted = self._give_work(driver)
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy and (self._is_exhausted or stop is not None):
                return
            for worker in busy:
                if stop is not None:
                    worker.stop(stop)
            self._listen(driver)
            self._look_after(driver)

    def call(
        self,
        task: Any,
        *,
        name: str,
        time_limit_s: float,
        should_stop: Callable[[], bool] = lambda: False,
        on_mark: Callable[[], None] = lambda: None,
    ) -> Any:
        """Run one task on an idle worker."""
        self._fill()
        while not any(worker.is_idle for worker in self._workers):
            self._listen(None)
            self._fill()
        worker = next(worker for worker in self._workers if worker.is_idle)
        worker.call(task, name, self._open_meters())
        deadline_s = marked_s = time.monotonic()
        deadline_s += time_limit_s
        reason = None
        try:
            while reason is None and not worker.connection.poll(TICK_S):
                worker.read_energy()
                if time.monotonic() - marked_s >= MARK_EVERY_S:
                    marked_s = time.monotonic()
                    on_mark()
                if should_stop():
                    reason = "interrupted"
                elif time.monotonic() > deadline_s:
                    reason = f"took longer than {time_limit_s:g} s"
            answer = worker.connection.recv() if reason is None else None
        except (EOFError, OSError):
            worker.read_energy()  # while the dead process can still be read
            reason = worker.death()
        self._settle(worker)
        if reason is not None:
            self._discard(worker)
            raise EcoAutoMLError(f"{name}: {reason}")
        if isinstance(answer, TaskFailed):
            logger.debug("%s", answer.details)
            raise EcoAutoMLError(f"{name}: {answer.reason}")
        return answer

    def overhead(self) -> tuple[EnergyLine, ...]:
        """Return joules spent on starting workers and on tasks, so far."""
        running = [worker.read_energy() for worker in self._workers if worker.is_on_errand]
        return (*self._overhead, *running)

    def close(self) -> None:
        """End all workers: politely when idle, at once when busy or starting."""
        for worker in self._workers:
            worker.quit(self._open_meters())
        for worker in self._workers:
            worker.wait_unread(PATIENCE_S)
            self._settle(worker)
            worker.kill()
        self._workers = []

    def _fill(self) -> None:
        """Start the workers that are missing, without waiting for them."""
        threads = 1 if self._setup.target == "cpu" else os.cpu_count() or 1
        while len(self._workers) < self._n_workers:
            self._workers.append(WorkerProcess(self._setup, threads, self._open_meters()))

    def _give_work(self, driver: Driver) -> bool:
        """Give every idle worker a trial; return whether the driver has no more."""
        for worker in self._workers:
            if worker.is_idle:
                job = driver.ask()
                if job is None:
                    return True
                worker.start(job, self._open_meters())
        return False

    def _listen(self, driver: Driver | None) -> None:
        """Handle what workers have sent; waits at most one tick."""
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout=TICK_S):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                if worker.job is not None:
                    worker.read_energy()  # while the dead process can still be read
                self._lose(worker, driver, worker.death())
                continue
            self._handle(worker, message, driver)
        for worker in [worker for worker in self._workers if not worker.is_ready]:
            if time.monotonic() - worker.started_s > START_LIMIT_S:
                self._lose(worker, driver, f"not ready after {START_LIMIT_S:g} s")

    def _handle(self, worker: WorkerProcess, message: Any, driver: Driver | None) -> None:
        if isinstance(message, Ready):
            worker.is_ready, self._failed_starts = True, 0
            self._settle(worker)
        elif isinstance(message, TaskFailed):
            logger.debug("%s", message.details)
            raise EcoAutoMLError(message.reason)
        elif driver is not None and isinstance(message, Progress):
            worker.curve.append(message)
            worker.answer(driver.report(message))
        elif driver is not None and isinstance(message, TrialResult):
            worker.release()
            self._tell(driver, message)
            if (message.reason or "").startswith(OUT_OF_MEMORY):
                self._discard(worker)  # whatever filled its memory may still be there

    def _look_after(self, driver: Driver) -> None:
        """Mark joules, and end trials that are over their time or do not answer."""
        now_s = time.monotonic()
        working = [worker for worker in self._workers if worker.job is not None]
        for worker in working:
            worker.read_energy()
        if working and now_s - self._marked_s >= MARK_EVERY_S:
            self._marked_s = now_s
            driver.mark(*(worker.mark() for worker in working))
        for worker in working:
            is_asked = worker.stop_decision is not None
            is_silent = is_asked and now_s - worker.stop_asked_s > self._grace_s
            if is_silent and not worker.connection.poll():
                self._end_silent(worker, driver)
            elif now_s - worker.started_s > self._time_limit_s:
                reason = f"took longer than executor.trial_time_limit_s ({self._time_limit_s:g} s)"
                self._lose(worker, driver, reason)

    def _end_silent(self, worker: WorkerProcess, driver: Driver) -> None:
        """Kill a worker that was asked to stop and does not answer."""
        decision = worker.stop_decision
        assert decision is not None
        reason = f"{decision.reason or 'told to stop'}; it did not answer and was killed"
        self._lose(worker, driver, reason, STATE_AFTER[decision.action])

    def _lose(
        self,
        worker: WorkerProcess,
        driver: Driver | None,
        reason: str,
        state: TrialState = TrialState.FAILED,
    ) -> None:
        """Give up a worker that is dead or must die, and record its trial."""
        result = worker.lost_trial(reason, state) if worker.job is not None else None
        self._discard(worker)
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise EcoAutoMLError(
                    f"{MAX_FAILED_STARTS} workers in a row could not start: {reason}; "
                    "what they printed stands above"
                )
        if result is not None and driver is not None:
            self._tell(driver, result)

    def _tell(self, driver: Driver, result: TrialResult) -> None:
        """Hand a result over; what the others have used is marked right after."""
        driver.tell(result)
        self._marked_s = 0.0
        self._is_exhausted = False  # what was told may have made room, or something go on

    def _settle(self, worker: WorkerProcess) -> None:
        """Put what a worker's start or task took on the bill."""
        if worker.is_on_errand:
            self._overhead.append(worker.read_energy())
            worker.release()

    def _discard(self, worker: WorkerProcess) -> None:
        """End a worker; another one is started when there is need for it."""
        self._settle(worker)
        self._workers.remove(worker)
        worker.process.kill()
        worker.kill()

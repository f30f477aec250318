"""Worker processes on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Pipe, wait
from typing import Any

from ecoautoml.energy.select import MeterSet
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.errors import EcoAutoMLError
from ecoautoml.executors.base import Driver, Executor
from ecoautoml.executors.messages import (
    Quit,
    Ready,
    RunTrial,
    TaskFailed,
    WorkerSetup,
)
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.progress import Action, Decision, EnergyMark, Progress
from ecoautoml.records.trial_result import TrialJob, TrialResult, TrialState

TICK_S = 0.5
"""How often the main process looks after its workers."""
MARK_EVERY_S = 2.0
"""How often joules of running trials are marked; 5 s is what is promised."""
GRACE_S = 10.0
"""How long a worker may take to answer a request to stop before it is killed."""


class Worker:
    """One worker process and the trial it runs."""

    def __init__(self, setup: WorkerSetup, environment: dict[str, str]) -> None:
        self.connection, other_end = Pipe()
        with other_end:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ecoautoml.executors.worker", str(other_end.fileno())],
                env={**os.environ, **environment},
                pass_fds=[other_end.fileno()],
            )
        self.connection.send(setup)
        self.job: TrialJob | None = None
        self.started_s = 0.0
        self.stop_asked_s: float | None = None
        self.stop_decision: Decision | None = None
        self.curve: list[Progress] = []
        self.energy_lines: list[EnergyLine] = []
        self._meters: MeterSet | None = None
        self._window: EnergyWindow | None = None

    def receive_ready(self) -> EnergyLine:
        """Wait until the worker is set up, and return what that took."""
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise EcoAutoMLError(f"a worker could not start: {self.death()}") from None
        if isinstance(message, TaskFailed):
            raise EcoAutoMLError(f"a worker could not start: {message.reason}")
        assert isinstance(message, Ready)
        return message.energy

    def start(self, job: TrialJob, meters: MeterSet) -> None:
        """Send a trial to the idle worker."""
        self.job, self.started_s, self.stop_asked_s = job, time.monotonic(), None
        self.curve, self.energy_lines = [], []
        self._meters = meters
        self._window = EnergyWindow(meters.meters, meters.clock, pid=self.process.pid)
        self._window.__enter__()  # stays open: it is read while the trial runs
        self.connection.send(RunTrial(job=job))

    def stop(self, decision: Decision) -> None:
        """Ask the running trial to end, once."""
        if self.stop_asked_s is None:
            self.stop_asked_s, self.stop_decision = time.monotonic(), decision
            self.connection.send(decision)

    def read_energy(self) -> EnergyLine:
        """Return the joules of the running trial so far, read from outside the process.

        A process that has died can be read until it is waited for; after that, the last reading
        taken before.
        """
        assert self._window is not None
        if self.process.returncode is None:
            line = self._window.line("unfinished")
            if line.energy_j is not None or not self.energy_lines:
                self.energy_lines = [line]
        return self.energy_lines[-1]

    def release(self) -> None:
        """Forget the trial that has ended."""
        if self._meters is not None:
            self._meters.close()
        self.job = self._meters = self._window = None

    def death(self) -> str:
        """Return how the process ended, in words."""
        code = self.process.wait()
        if code >= 0:
            return f"the worker process exited with code {code}"
        name = signal.Signals(-code).name
        hint = " (often the system's answer to memory running out)" if name == "SIGKILL" else ""
        return f"the worker process died from {name}{hint}"

    def kill(self) -> None:
        """End the process whatever it does."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


class LocalExecutor(Executor):
    """Runs trials in reused worker processes.

    Args:
        setup: What every worker needs.
        workers: How many trials run at once.
        time_limit_s: Seconds after which a trial is ended as failed.
        open_meters: Opens energy meters, to read workers from outside.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        *,
        workers: int,
        time_limit_s: float,
        open_meters: Callable[[], MeterSet],
    ) -> None:
        self._setup, self._n_workers, self._time_limit_s = setup, workers, time_limit_s
        self._open_meters = open_meters
        self._workers: list[Worker] = []
        self._overhead: list[EnergyLine] = []
        self._marked_s = 0.0

    def start(self) -> None:
        """Start all workers, so that what is wrong with them shows before anything is begun.

        Raises:
            EcoAutoMLError: A worker cannot be set up.
        """
        self._ensure_workers(self._n_workers)

    def run(self, driver: Driver) -> None:
        """Run trials until the driver has no more, or stops."""
        self.start()
        is_exhausted = False
        while True:
            stop = driver.stop()
            for worker in self._workers:
                if worker.job is None and not is_exhausted and stop is None:
                    job = driver.ask()
                    is_exhausted = job is None
                    if job is not None:
                        worker.start(job, self._open_meters())
            busy = [worker for worker in self._workers if worker.job is not None]
            if not busy:
                return
            if stop is not None:
                for worker in busy:
                    _send_quietly(worker, stop)
            self._listen(busy, driver)
            self._look_after(driver)

    def call(self, task: Any) -> Any:
        """Run one task on the first worker."""
        self._ensure_workers(1)
        worker = self._workers[0]
        try:
            worker.connection.send(task)
            answer = worker.connection.recv()
        except (EOFError, ConnectionError):
            reason = worker.death()
            self._replace(worker)
            raise EcoAutoMLError(f"{type(task).__name__} failed: {reason}") from None
        if isinstance(answer, TaskFailed):
            raise EcoAutoMLError(f"{type(task).__name__} failed: {answer.reason}")
        return answer

    def overhead(self) -> tuple[EnergyLine, ...]:
        """Return joules spent on starting workers."""
        return tuple(self._overhead)

    def close(self) -> None:
        """End all workers: politely when idle, at once when busy."""
        for worker in self._workers:
            if worker.job is None and _send_quietly(worker, Quit()):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(timeout=5)
            worker.kill()
        self._workers = []

    def _ensure_workers(self, count: int) -> None:
        fresh = [self._new_worker() for _ in range(count - len(self._workers))]
        for worker in fresh:
            self._overhead.append(worker.receive_ready())
            self._workers.append(worker)

    def _new_worker(self) -> Worker:
        threads = "1" if self._setup.target == "cpu" else str(os.cpu_count() or 1)
        # passive waiting: spinning threads would burn joules while others measure
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {
            **dict.fromkeys(names, threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            # a user's own modules are found where the main process finds them
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        }
        return Worker(self._setup, environment)

    def _replace(self, worker: Worker) -> None:
        worker.kill()
        fresh = self._new_worker()
        self._overhead.append(fresh.receive_ready())
        self._workers[self._workers.index(worker)] = fresh

    def _listen(self, busy: list[Worker], driver: Driver) -> None:
        """Handle what workers have sent; waits at most one tick."""
        by_connection = {worker.connection: worker for worker in busy}
        for connection in wait(list(by_connection), timeout=TICK_S):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, ConnectionError):
                worker.read_energy()
                self._lose(worker, driver, worker.death())
                continue
            if isinstance(message, Progress):
                worker.curve.append(message)
                worker.read_energy()
                decision = driver.report(message)
                if worker.stop_asked_s is None:  # else the worker has its answer already
                    _send_quietly(worker, decision)
            elif isinstance(message, TrialResult):
                worker.release()
                driver.tell(message)

    def _look_after(self, driver: Driver) -> None:
        """Mark joules, and end trials that are over their time or do not answer."""
        now_s = time.monotonic()
        is_mark_due = now_s - self._marked_s >= MARK_EVERY_S
        for worker in [worker for worker in self._workers if worker.job is not None]:
            line = worker.read_energy()
            if is_mark_due:
                driver.mark(_mark(worker, line))
            if worker.stop_asked_s is not None and now_s - worker.stop_asked_s > GRACE_S:
                self._end_silent(worker, driver)
            elif now_s - worker.started_s > self._time_limit_s:
                reason = f"took longer than executor.trial_time_limit_s ({self._time_limit_s:g} s)"
                self._lose(worker, driver, reason)
        if is_mark_due:
            self._marked_s = now_s

    def _end_silent(self, worker: Worker, driver: Driver) -> None:
        """Kill a worker that was asked to stop and does not answer."""
        decision = worker.stop_decision or Decision(action=Action.INTERRUPT)
        is_pruned = decision.action is Action.PRUNE
        state = TrialState.PRUNED if is_pruned else TrialState.INTERRUPTED
        reason = f"{decision.reason or 'told to stop'}; it did not answer and was killed"
        self._lose(worker, driver, reason, state)

    def _lose(
        self,
        worker: Worker,
        driver: Driver,
        reason: str,
        state: TrialState = TrialState.FAILED,
    ) -> None:
        """Record the trial of a worker that is dead or must die, and start another worker."""
        assert worker.job is not None
        result = TrialResult(
            number=worker.job.number,
            state=state,
            candidate=worker.job.candidate,
            reason=reason,
            energy=(worker.read_energy(),),
            curve=tuple(worker.curve),
            duration_s=time.monotonic() - worker.started_s,
            epochs=max((progress.epoch for progress in worker.curve), default=0),
        )
        worker.release()
        self._replace(worker)
        driver.tell(result)


def _mark(worker: Worker, line: EnergyLine) -> EnergyMark:
    assert worker.job is not None
    return EnergyMark(
        trial=worker.job.number,
        energy_j=line.energy_j,
        provenance=None if line.provenance is None else line.provenance.value,
        duration_s=time.monotonic() - worker.started_s,
        source=line.source,
    )


def _send_quietly(worker: Worker, message: Any) -> bool:
    """Send, unless the worker is gone, which shows at the next receive."""
    try:
        if isinstance(message, Decision) and message.action is not Action.CONTINUE:
            worker.stop(message)
        else:
            worker.connection.send(message)
    except (BrokenPipeError, ConnectionError):
        return False
    return True

"""A worker as the main process sees it: a process, a pipe, and the trial it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Pipe
from typing import Any

from ecoautoml.energy.select import MeterSet
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.executors.messages import Quit, RunTrial, WorkerSetup
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.records.progress import Action, Decision, EnergyMark, Progress
from ecoautoml.records.trial_result import TrialJob, TrialResult, TrialState


class WorkerProcess:
    """One worker: starting (not ready yet), idle, or busy with a trial or a task.

    Args:
        setup: Sent to it first.
        threads: Threads of its libraries.
        meters: What reads it from outside until it is ready.
    """

    def __init__(self, setup: WorkerSetup, threads: int, meters: MeterSet) -> None:
        self.connection, other_end = Pipe()
        with other_end:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ecoautoml.executors.worker", str(other_end.fileno())],
                env=_environment(threads),
                pass_fds=[other_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a user's own code prints must not get into our output
                process_group=0,  # signals meant for the main process do not reach it
            )
        self.is_ready = False
        self.is_called = False
        self.job: TrialJob | None = None
        self.curve: list[Progress] = []
        self.stop_decision: Decision | None = None
        self.stop_asked_s = 0.0
        self.started_s = time.monotonic()
        self._meters: MeterSet | None = None
        self._window: EnergyWindow | None = None
        self._line = "unfinished"
        self._last_line: EnergyLine | None = None
        self._begin("worker start", meters)
        self.send(setup)

    @property
    def is_idle(self) -> bool:
        """Return whether it can be given something to do."""
        return self.is_ready and self.job is None and not self.is_called

    @property
    def is_on_errand(self) -> bool:
        """Return whether it does something billed that is no trial: it starts, ends, is called."""
        return self._window is not None and self.job is None

    def send(self, message: Any) -> bool:
        """Send, unless the process is gone, which shows at the next receive."""
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True

    def start(self, job: TrialJob, meters: MeterSet) -> None:
        """Give it a trial."""
        self.job, self.curve = job, []
        self.stop_decision, self.started_s = None, time.monotonic()
        self._begin("unfinished", meters)
        self.send(RunTrial(job=job))

    def call(self, task: Any, name: str, meters: MeterSet) -> None:
        """Give it a task that is no trial; ``name`` is its line of the bill."""
        self.is_called = True
        self._begin(name, meters)
        self.send(task)

    def answer(self, decision: Decision) -> None:
        """Answer a report, unless the trial was told to stop meanwhile: then it has its answer."""
        if self.stop_decision is not None:
            return
        if decision.action is Action.CONTINUE:
            self.send(decision)
        else:
            self.stop(decision)

    def stop(self, decision: Decision) -> None:
        """Ask the running trial to end, once."""
        if self.stop_decision is None:
            self.stop_decision, self.stop_asked_s = decision, time.monotonic()
            self.send(decision)

    def read_energy(self) -> EnergyLine:
        """Return the joules of the running trial or task so far, read from outside the process.

        A process that has died can be read until it is waited for; after that, the last reading
        taken before.
        """
        assert self._window is not None
        if self.process.returncode is None or self._last_line is None:
            line = self._window.line(self._line)
            if line.energy_j is not None or self._last_line is None:
                self._last_line = line
        return self._last_line

    def mark(self) -> EnergyMark:
        """Return the joules of the running trial so far, for the ledger."""
        assert self.job is not None
        line = self.read_energy()
        return EnergyMark(
            trial=self.job.number,
            energy_j=line.energy_j,
            provenance=None if line.provenance is None else line.provenance.value,
            duration_s=time.monotonic() - self.started_s,
            source=line.source,
            net_j=line.net_j,
        )

    def lost_trial(self, reason: str, state: TrialState) -> TrialResult:
        """Return the result of a trial that this process will not report itself."""
        assert self.job is not None
        before = None if state is TrialState.INTERRUPTED else self.job.before
        curve = (*(() if self.job.before is None else self.job.before.curve), *self.curve)
        return TrialResult(
            number=self.job.number,
            state=state,
            candidate=self.job.candidate,
            parent=self.job.parent,
            reason=reason,
            probe=None if self.job.before is None else self.job.before.probe,
            energy=(*(() if before is None else before.energy), self.read_energy()),
            curve=curve,
            duration_s=time.monotonic() - self.started_s + (before.duration_s if before else 0.0),
            epochs=max((progress.epoch for progress in curve), default=0),
        )

    def release(self) -> None:
        """Forget the trial or task that has ended."""
        if self._meters is not None:
            self._meters.close()
        self.job = self._meters = self._window = None
        self.is_called = False

    def _begin(self, line: str, meters: MeterSet) -> None:
        self._meters, self._line, self._last_line = meters, line, None
        self._window = EnergyWindow(
            meters.meters, meters.clock, pid=self.process.pid, idle_w=meters.idle_w
        )
        self._window.__enter__()  # stays open: it is read while the work goes on

    def death(self) -> str:
        """Return how the process ended, in words."""
        try:
            code = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "the worker process closed its end of the pipe"
        if code >= 0:
            return f"the worker process exited with code {code}"
        name = signal.Signals(-code).name
        hint = " (often the system's answer to memory running out)" if name == "SIGKILL" else ""
        return f"the worker process died from {name}{hint}"

    def quit(self, meters: MeterSet) -> None:
        """Ask it to end when it is idle, which is billed; else make it."""
        if self.is_idle:
            self._begin("worker end", meters)
            if self.send(Quit()):
                return
        else:
            meters.close()
        self.process.kill()

    def wait_unread(self, patience_s: float) -> None:
        """Wait until the process has ended, but leave its joules readable."""
        deadline_s = time.monotonic() + patience_s
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT  # of one that was waited for nothing is left
        while time.monotonic() < deadline_s:
            if os.waitid(os.P_PID, self.process.pid, options) is not None:
                return
            time.sleep(0.01)

    def kill(self, patience_s: float = 0.0) -> None:
        """End the process whatever it does, after so many seconds of patience."""
        try:
            self.process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.release()
        self.connection.close()


def _environment(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        # threads that spin while they wait would burn joules while others measure
        "OMP_WAIT_POLICY": "PASSIVE",
        # a user's own modules are found where the main process finds them, and in this folder
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), os.getcwd()]),
    }

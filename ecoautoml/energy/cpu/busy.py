"""A known load for a processor: a number of threads kept busy in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from types import TracebackType
from typing import Self

from ecoautoml.errors import MeterError

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_WORK = """
import select, sys
import numpy
rng = numpy.random.default_rng(0)
a, b = (rng.standard_normal((192, 192), dtype=numpy.float32) for _ in range(2))
a @ b
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(20):
        a @ b
"""
"""Matrix products of random values, as networks are made of. It ends when its input is closed, so
also when the process that started it is gone."""


class BusyThreads:
    """Keeps threads busy inside a ``with`` block; all are at work when it is entered.

    Args:
        count: How many; 0: none.

    Raises:
        MeterError: A process could not be started (on entering).
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            for _ in range(self._count):
                self._workers.append(_start())
            for worker in self._workers:
                _wait_until_ready(worker)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the numbers of the processes at work."""
        return tuple(worker.pid for worker in self._workers)

    def _end(self) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.communicate()  # closes its pipes and waits for it
        self._workers.clear()


def _start() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _WORK],  # -P: nothing is imported from this folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
        )
    except OSError as error:
        raise MeterError(f"no process for the load could be started: {error}") from error


def _wait_until_ready(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdout is not None
    if worker.stdout.readline() != b"ready\n":
        raise MeterError("a process for the load ended before it had begun")

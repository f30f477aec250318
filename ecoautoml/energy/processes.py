"""CPU seconds of a process and everything it started, from /proc and the process's own times."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import resource

TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
"""Resolution of the times in /proc, in seconds."""


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    cpu_s: float
    started: int


class ProcessTree:
    """Reads the CPU seconds of a process tree; they never fall.

    Counted are the process itself, its ended children (the kernel adds them to their parent when
    it waits for them) and its living descendants, so nothing short-lived is missed: no sampling.
    What can drop out is a process whose parent died first, or one its parent never waits for; the
    sum is then held at its highest value, so that it may read low for a while but never falls and
    never counts anything twice.

    Args:
        proc: Where the kernel's process files are.
        with_children: Whether the own process is counted with its children; another always is.
    """

    def __init__(self, proc: Path = Path("/proc"), *, with_children: bool = True) -> None:
        self._proc = str(proc)
        self._with_children = with_children
        self._highest_s: dict[tuple[int, int], float] = {}

    def cpu_s(self, pid: int | None = None) -> float:
        """Return cumulative CPU seconds of the tree below ``pid`` (None: the own process).

        Raises:
            ProcessLookupError: There is no such process (any more), or no way to look.
        """
        if pid is None or pid == os.getpid():
            return self._never_less((os.getpid(), 0), self._own_cpu_s())
        processes = self._scan()
        root = processes.get(pid)
        if root is None:
            raise ProcessLookupError(f"process {pid} has ended, or cannot be seen from here")
        cpu_s = sum(processes[member].cpu_s for member in _below(pid, processes))
        return self._never_less((pid, root.started), root.cpu_s + cpu_s)

    def pids(self, pid: int | None = None) -> frozenset[int]:
        """Return the process and all its living descendants."""
        root = os.getpid() if pid is None else pid
        return frozenset((root, *_below(root, self._scan())))

    def exists(self, pid: int) -> bool:
        """Return whether a process with this number can be seen from here."""
        return os.path.exists(f"{self._proc}/{pid}")

    def machine_busy_s(self) -> float | None:
        """Return cumulative busy seconds over all CPUs; None when the system does not tell.

        Time stolen by a hypervisor, idle time and waiting for input are not busy; guests are
        already contained in user time.
        """
        try:
            with open(f"{self._proc}/stat", "rb") as file:
                user, nice, system, _idle, _iowait, irq, softirq = file.readline().split()[1:8]
        except (OSError, ValueError):
            return None
        return TICK_S * sum(int(ticks) for ticks in (user, nice, system, irq, softirq))

    def _own_cpu_s(self) -> float:
        # Ended children are read before living ones: a child that ends in between is missing
        # for one read, rather than counted twice.
        cpu_s = time.process_time()
        if not self._with_children:
            return cpu_s
        if sys.platform != "win32":
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s += ended.ru_utime + ended.ru_stime
        if not _has_children():
            return cpu_s
        processes = self._scan()
        return cpu_s + sum(processes[pid].cpu_s for pid in _below(os.getpid(), processes))

    def _never_less(self, key: tuple[int, int], cpu_s: float) -> float:
        highest_s = max(cpu_s, self._highest_s.get(key, 0.0))
        self._highest_s[key] = highest_s
        return highest_s

    def _scan(self) -> dict[int, _Process]:
        # About 5 µs per process. /proc/PID/task/TID/children would be shorter, but many kernels
        # are built without it.
        processes = {}
        try:
            names = os.listdir(self._proc)
        except OSError:
            return {}
        for name in names:
            if name.isdigit() and (process := self._process(name)) is not None:
                processes[int(name)] = process
        return processes

    def _process(self, name: str) -> _Process | None:
        try:
            descriptor = os.open(f"{self._proc}/{name}/stat", os.O_RDONLY)
            try:
                line = os.read(descriptor, 4096)
            finally:
                os.close(descriptor)
            # The command may hold blanks and brackets, so fields are counted from its end;
            # proc(5): ppid, utime, stime, cutime, cstime, starttime are fields 4, 14-17, 22.
            fields = line.rpartition(b")")[2].split(None, 20)
            ticks = sum(int(field) for field in fields[11:15])
            return _Process(int(fields[1]), TICK_S * ticks, int(fields[19]))
        except (OSError, ValueError, IndexError):
            return None


def _below(root: int, processes: dict[int, _Process]) -> Iterable[int]:
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    found: list[int] = []
    waiting = [root]
    while waiting:
        offspring = children.pop(waiting.pop(), [])
        found += offspring
        waiting += offspring
    return found


def _has_children() -> bool:
    """Return whether the own process has children to look for; no child is waited for."""
    if not hasattr(os, "waitid"):
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True

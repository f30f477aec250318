"""CPU seconds of processes: one, one with everything it started, everybody else, the machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecoautoml.energy.base import Scope

if sys.platform != "win32":
    import resource

TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
"""Resolution of the times in /proc, in seconds."""


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    own_s: float
    children_s: float
    started: int

    @property
    def cpu_s(self) -> float:
        """Return its CPU seconds and those of its ended children."""
        return self.own_s + self.children_s


class ProcessTree:
    """Reads the CPU seconds of processes; they never fall.

    Of a tree are counted the process itself, its ended children (the kernel adds them to their
    parent when it waits for them) and its living descendants, so nothing short-lived is missed: no
    sampling. What can drop out is a process whose parent died first, or one its parent never waits
    for; the sum is then held at its highest value, so that it may read low for a while but never
    falls and never counts anything twice.

    Args:
        proc: Where the kernel's process files are.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = str(proc)
        self._highest_s: dict[tuple[int, int, Scope], float] = {}
        self._others: dict[int, _Others] = {}

    def cpu_s(self, pid: int | None = None, scope: Scope = Scope.TREE) -> float:
        """Return cumulative CPU seconds; only differences of one scope mean something.

        Args:
            pid: The process in question; None: the own one.
            scope: TREE (or DEVICE, which has no CPU seconds of its own): the process and what it
                started; PROCESS: without what it started; OTHERS: everybody but these.

        Raises:
            ProcessLookupError: There is no such process (any more), or no way to look.
        """
        root = os.getpid() if pid is None else pid
        if scope is Scope.OTHERS:
            return self._others_s(root)
        if root == os.getpid():
            own_s = time.process_time() if scope is Scope.PROCESS else self._own_tree_s()
            return self._never_less((root, 0, scope), own_s)
        if scope is Scope.PROCESS:
            process = _existing(self._process(str(root)), root)
            return self._never_less((root, process.started, scope), process.own_s)
        processes = self._scan()
        process = _existing(processes.get(root), root)
        below_s = sum(processes[member].cpu_s for member in _below(root, processes))
        return self._never_less((root, process.started, scope), process.cpu_s + below_s)

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

    def _own_tree_s(self) -> float:
        # Ended children are read before living ones: a child that ends in between is missing
        # for one read, rather than counted twice.
        cpu_s = time.process_time()
        if sys.platform != "win32":
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s += ended.ru_utime + ended.ru_stime
        if not _has_children():
            return cpu_s
        processes = self._scan()
        return cpu_s + sum(processes[pid].cpu_s for pid in _below(os.getpid(), processes))

    def _others_s(self, root: int) -> float:
        processes = self._scan()
        if root != os.getpid():
            _existing(processes.get(root), root)
        tree = {root, *_below(root, processes)}
        others = self._others.setdefault(root, _Others())
        return others.advance(processes, tree)

    def _never_less(self, key: tuple[int, int, Scope], cpu_s: float) -> float:
        highest_s = max(cpu_s, self._highest_s.get(key, 0.0))
        self._highest_s[key] = highest_s
        return highest_s

    def _scan(self) -> dict[int, _Process]:
        # 5 to 20 µs per process. /proc/PID/task/TID/children would be shorter, but many kernels
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
            user, system, children_user, children_system = map(int, fields[11:15])
            return _Process(
                parent=int(fields[1]),
                own_s=TICK_S * (user + system),
                children_s=TICK_S * (children_user + children_system),
                started=int(fields[19]),
            )
        except (OSError, ValueError, IndexError):
            return None


class _Others:
    """CPU seconds of everybody outside a process tree, summed from one look to the next.

    They are counted process by process rather than as what the tree leaves of the machine's time:
    a remainder would hide whatever goes missing. Between two looks somebody else may

    - begin: all its seconds are new, unless it was seen before inside the tree and dropped out of
      it (its parent ended);
    - end and be waited for: its parent's ended children grow by all it ever used, of which only
      what came after the last look is new;
    - end without being waited for (a kernel thread; a parent that ignores its children's end): the
      seconds after the last look are lost, and those before stay counted.
    """

    def __init__(self) -> None:
        self._total_s = 0.0
        self._seen: dict[tuple[int, int], _Process] | None = None
        self._outside: set[tuple[int, int]] = set()

    def advance(self, processes: Mapping[int, _Process], tree: set[int]) -> float:
        """Take one look; return the cumulative seconds, 0 at the first look."""
        now = {(pid, process.started): process for pid, process in processes.items()}
        outside = {key for key in now if key[0] not in tree}
        if self._seen is not None:
            self._total_s += self._since(self._seen, now, outside)
        self._seen, self._outside = now, outside
        return self._total_s

    def _since(
        self,
        seen: Mapping[tuple[int, int], _Process],
        now: Mapping[tuple[int, int], _Process],
        outside: set[tuple[int, int]],
    ) -> float:
        own_s = ended_s = 0.0
        for key in outside:
            process, before = now[key], seen.get(key)
            own_s += process.own_s - (before.own_s if before else 0.0)
            ended_s += process.children_s - (before.children_s if before else 0.0)
        counted_s = sum(seen[key].cpu_s for key in self._outside if key not in now)
        return max(own_s, 0.0) + max(ended_s - counted_s, 0.0)


def _existing(process: _Process | None, pid: int) -> _Process:
    if process is None:
        raise ProcessLookupError(f"process {pid} has ended, or cannot be seen from here")
    return process


def _below(root: int, processes: Mapping[int, _Process]) -> Iterable[int]:
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

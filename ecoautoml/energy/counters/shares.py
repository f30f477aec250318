"""Sharing out a machine's counters among the processes on it, so that the parts add up.

A counter of the whole machine is divided by CPU time, as Kepler does
(github.com/sustainable-computing-io/kepler, docs/developer/power-attribution-guide.md), in steps
of 0.2 to about 1 s. In each step a process gets

    joules of the device × own CPU seconds / busy seconds of the machine,

idle power included, and its readings say how much idle power that was (`idle_share`). As every
step is divided by the same seconds, the shares of all processes add up to 1 in every step in which
anything was busy; so the net joules of all of them, plus idle watts × time, are the device's
joules. Windows add up too: what is shared out is summed step by step, and a window is the
difference of two sums.

Joules of a step in which nobody was busy are nobody's: no process gets a part of them, gross or
idle. They stay in the device's own reading (scope DEVICE) and in idle watts × time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ecoautoml.energy.base import CounterReading, Scope, difference, paired
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.counters.share_account import Account, Moment, SharedReading, part_of, unknown
from ecoautoml.records.energy_reading import EnergyReading, Provenance

ALONE = 0.95
"""Share of the machine's busy time from which on joules are called measured."""
GUARD_S = 1.0
"""Seconds after which a thread closes a step when nobody reads: a share is then never older."""
GUARD_COST = 0.005
"""Share of a processor the thread may use; where reading is slower it reads less often."""

Look = Callable[[], Sequence[CounterReading]]
"""Reads the device: one unshared reading per component, with the machine's busy seconds."""


class SharedCounters:
    """Counters of a machine, and everybody's part of them.

    Parts are kept per process asked about, from the first read about it on. A thread closes steps
    between reads, so a window may be long and still follow what others did meanwhile.

    Args:
        look: Reads the device.
        tree: Where CPU seconds come from.
        scope: Whose part is read.
        longest_gap_s: Seconds within which the device must be looked at for its own sake (a
            counter that wraps); None: any time is fine.
        is_guarded: Whether the thread runs; a trace played by looks needs none.
        guard_s: Seconds after which the thread closes a step when nobody reads.
    """

    def __init__(
        self,
        look: Look,
        tree: ProcessTree,
        scope: Scope,
        *,
        longest_gap_s: float | None = None,
        is_guarded: bool = True,
        guard_s: float = GUARD_S,
    ) -> None:
        self._look = look
        self._tree = tree
        self._scope = scope
        self._accounts: dict[int, Account] = {}
        self._restarts: dict[int, int] = {}
        self._reading = threading.Lock()  # a device is read by one thread at a time
        self._closed = threading.Event()
        gaps_s = (longest_gap_s, None if scope is Scope.DEVICE else guard_s)
        self._gap_s = min((gap_s for gap_s in gaps_s if gap_s is not None), default=None)
        self._longest_gap_s = longest_gap_s
        if is_guarded and self._gap_s is not None:
            threading.Thread(target=self._guard, args=(self._gap_s,), daemon=True).start()

    def look(self) -> Sequence[CounterReading]:
        """Return each component's own counter, unshared."""
        with self._reading:
            return self._look()

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return the part of each component's counter up to now.

        Args:
            pid: The process asked about; None: the own one.
        """
        with self._reading:
            device = self._look()
            if self._scope is Scope.DEVICE:
                return [part_of(reading, share_s=reading.time_s) for reading in device]
            root = os.getpid() if pid is None else pid
            try:
                now = self._moment(device, root)
            except ProcessLookupError as error:
                self._drop(root)
                return [unknown(reading, str(error)) for reading in device]
            account = self._account(root, now)
            account.advance(now, device)
            return account.show(now, device, self._restarts.get(root, 0))

    def readings_between(
        self,
        before: Sequence[CounterReading],
        after: Sequence[CounterReading],
        *,
        sources: Mapping[str, str],
        losses: Mapping[str, Sequence[str]],
        relative_uncertainty: float | None = None,
    ) -> list[EnergyReading]:
        """Return the parts between two reads about the same process.

        Args:
            before: The earlier read.
            after: The later read.
            sources: What each component's joules come from.
            losses: Why each component's counter lost count, once for each time.
            relative_uncertainty: The device's stated relative uncertainty, None when unknown.
        """
        readings = []
        for start, end in paired(before, after):
            is_alone = self._scope is Scope.DEVICE or share_of_busy(start, end) >= ALONE
            reading = difference(
                start,
                end,
                provenance=Provenance.MEASURED if is_alone else Provenance.ATTRIBUTED,
                source=sources.get(start.component, "unknown"),
                idle_share=idle_share(start, end),
                # How well CPU time stands for energy among strangers is not known.
                relative_uncertainty=relative_uncertainty if is_alone else None,
            )
            readings.append(with_loss(reading, start, end, losses.get(start.component, ())))
        return readings

    def close(self) -> None:
        """End the thread; later reads still work."""
        self._closed.set()

    def _guard(self, gap_s: float) -> None:
        """Look so often that no wrap is missed and no share gets old."""
        wait_s = gap_s
        while not self._closed.wait(wait_s):
            began_s = time.thread_time()
            with self._reading:
                self._advance_all()
            cost_s = time.thread_time() - began_s
            wait_s = max(gap_s, cost_s / GUARD_COST)
            if self._longest_gap_s is not None:
                wait_s = min(wait_s, self._longest_gap_s)

    def _advance_all(self) -> None:
        device = self._look()
        for root, account in list(self._accounts.items()):
            try:
                now = self._moment(device, root)
            except ProcessLookupError:
                self._drop(root)
                continue
            if account.fits(now):
                account.advance(now, device)
            else:
                self._drop(root)

    def _moment(self, device: Sequence[CounterReading], root: int) -> Moment:
        """Return what to share by, about one process.

        Raises:
            ProcessLookupError: It cannot be known; the message says why.
        """
        busy_s = device[0].busy_s
        if busy_s is None:
            raise ProcessLookupError("how busy the machine is cannot be read, so no share is known")
        cpu_s = self._tree.cpu_s(None if root == os.getpid() else root, self._scope)
        return Moment(device[0].time_s, cpu_s, busy_s)

    def _account(self, root: int, now: Moment) -> Account:
        account = self._accounts.get(root)
        if account is not None and account.fits(now):
            return account
        self._drop(root)  # another process has the number, or the clock went back
        self._accounts[root] = Account(now)
        return self._accounts[root]

    def _drop(self, root: int) -> None:
        """End an account; a later one about the same number is of another generation."""
        if self._accounts.pop(root, None) is not None:
            self._restarts[root] = self._restarts.get(root, 0) + 1


def share_of_busy(before: CounterReading, after: CounterReading) -> float:
    """Return the share of the machine's busy seconds in a window; 0 when nothing is known."""
    if before.cpu_s is None or after.cpu_s is None:
        return 0.0
    if before.busy_s is None or after.busy_s is None:
        return 0.0
    busy_s = after.busy_s - before.busy_s
    return min((after.cpu_s - before.cpu_s) / busy_s, 1.0) if busy_s > 0 else 0.0


def idle_share(before: CounterReading, after: CounterReading) -> float:
    """Return the part of the idle power contained in a window's joules, in [0, 1]."""
    if not isinstance(before, SharedReading) or not isinstance(after, SharedReading):
        return 0.0
    seconds = after.time_s - before.time_s
    if seconds <= 0:
        return 0.0
    return min(max((after.share_s - before.share_s) / seconds, 0.0), 1.0)


def with_loss(
    reading: EnergyReading, before: CounterReading, after: CounterReading, losses: Sequence[str]
) -> EnergyReading:
    """Return a reading whose reason names the loss of count that made it unknown."""
    was_read = before.energy_j is not None and after.energy_j is not None
    if was_read and before.generation != after.generation and losses:
        return replace(reading, reason=losses[-1])
    return reading

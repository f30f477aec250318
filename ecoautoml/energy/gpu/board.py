"""One board of the NVML meter: its joules, who shares them, its state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecoautoml.energy.base import CounterReading, Scope, difference
from ecoautoml.energy.clock import Clock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.gpu.board_shares import BoardReading, BoardShares
from ecoautoml.energy.gpu.boards import OpenBoard
from ecoautoml.energy.gpu.counter import BoardCounter
from ecoautoml.energy.gpu.power import POWER_UNCERTAINTY
from ecoautoml.energy.gpu.state import BoardState, read_state
from ecoautoml.records.energy_reading import EnergyReading, Provenance

BOARD_GAIN = 0.05
"""Gain error between identical boards, about ±5 % (arXiv 2312.02741)."""
UTILISATION_EVERY_S = 1.0
"""Seconds between questions for utilisation while nobody else is listed: each takes a while."""
EDGE_TICKS = 0.8
"""Ticks by which a window is off whose ends are not moves of the counter: the 95th percentile in a
simulation of 0.5 to 30 s windows at a tick of 0.1 s was 0.065 to 0.08 s of the load's power."""
HOLD_S = 2.0
"""Seconds for which shares stay as they were when the driver has no newer samples."""
IMPLAUSIBLE = 2.0
"""Times the power limit above which a window's watts are taken for a fault of the counter."""
SLACK_S = 1.0
"""Seconds a counter may lag behind: the longest the driver lets a tick be (see `ticks`)."""
STANDS_STILL_S = 5.0
"""Seconds without a move after which a counter stands still: a board always draws something."""


class BoardMeter:
    """Reads one board; never raises once it is made.

    Args:
        nvml: The management library, initialised.
        board: The board.
        clock: Where time comes from.
        tree: Which processes belong together.
        scope: Whose part of the joules is asked for.
    """

    def __init__(
        self,
        nvml: Any,
        board: OpenBoard,
        clock: Clock,
        tree: ProcessTree,
        scope: Scope,
    ) -> None:
        self.board = board
        self.counter = BoardCounter(nvml, board, clock)
        self._nvml = nvml
        self._clock = clock
        self._scope = scope
        self._shares = BoardShares(tree, scope)
        self._utilisation = _Utilisation(nvml, board.handle)
        self._was_shared = False

    def read(self, pid: int | None) -> CounterReading:
        """Return the board's joules and the account of the process asked about."""
        count = self.counter.look()
        reading = BoardReading(
            component=self.board.component,
            energy_j=count.energy_j,
            time_s=count.time_s,
            reason=count.reason,
            generation=count.generation,
        )
        if count.energy_j is None:
            return reading
        listed, busy = self._users(count.time_s)
        account, sharers = self._shares.add(pid, count, listed, busy)
        self._was_shared = sharers is not None and sharers > 1
        return replace(reading, account=account, sharers=sharers)

    def between(self, start: CounterReading, end: CounterReading) -> EnergyReading:
        """Return the joules of the asker between two reads about it."""
        whole = difference(
            start,
            end,
            provenance=Provenance.MEASURED,
            source=self.board.source,
        )
        whole = replace(whole, relative_uncertainty=self._uncertainty(whole.duration_s))
        if whole.energy_j is None:
            return whole
        fault = self._fault(whole.energy_j, whole.duration_s)
        if fault is not None:
            return replace(whole, energy_j=None, reason=fault)
        if not isinstance(start, BoardReading) or not isinstance(end, BoardReading):
            return whole
        return self._own(whole, start, end)

    def state(self) -> BoardState:
        """Return temperature, clocks, limits and throttle reasons now."""
        handle = None if self.board.reason else self.board.handle
        return read_state(self._nvml, handle, self.board.component, self._clock.now())

    def _uncertainty(self, duration_s: float) -> float | None:
        """Return that of the whole board's joules; None for a window without length."""
        gain = BOARD_GAIN if self.board.has_counter else POWER_UNCERTAINTY
        if duration_s <= 0:
            return None
        return gain + EDGE_TICKS * self.counter.likely_tick_s / duration_s

    def _own(self, whole: EnergyReading, start: BoardReading, end: BoardReading) -> EnergyReading:
        before, after = start.account, end.account
        if after.n_unknown > before.n_unknown:
            reason = (
                "whose the board's joules are cannot be told: the driver does not list its "
                "processes, or under a host's numbers only"
            )
            return replace(whole, energy_j=None, reason=reason, provenance=Provenance.ATTRIBUTED)
        if after.n_shared == before.n_shared:
            return whole
        own_j = max(after.own_j - before.own_j, 0.0)
        doubt = (after.doubt_j - before.doubt_j) / own_j if own_j > 0 else 0.0
        own_s, certain = after.own_s - before.own_s, whole.relative_uncertainty
        idle_share = own_s / whole.duration_s if whole.duration_s > 0 else 0.0
        return replace(
            whole,
            energy_j=own_j,
            provenance=Provenance.ATTRIBUTED,
            relative_uncertainty=None if certain is None else certain + doubt,
            idle_share=min(max(idle_share, 0.0), 1.0),
        )

    def _fault(self, energy_j: float, duration_s: float) -> str | None:
        """Return why a difference cannot be true, None when it can."""
        if energy_j == 0 and duration_s >= STANDS_STILL_S:
            return f"the energy counter stood still for {duration_s:.1f} s"
        limit_w = self.board.power_limit_w
        if limit_w is not None and energy_j > IMPLAUSIBLE * limit_w * (duration_s + SLACK_S):
            return (
                f"the counter rose by {energy_j:.0f} J in {duration_s:.2f} s, more than twice what "
                f"the power limit of {limit_w:.0f} W allows"
            )
        return None

    def _users(self, now_s: float) -> tuple[frozenset[int] | None, dict[int, float]]:
        try:
            users = self._nvml.nvmlDeviceGetComputeRunningProcesses(self.board.handle)
        except self._nvml.NVMLError:
            return None, {}
        listed = frozenset(int(user.pid) for user in users)
        if self._scope is Scope.DEVICE:
            return listed, {}  # nothing is shared out
        is_shared = self._was_shared or len(listed) > 1
        busy = self._utilisation.since_last(now_s, 0.0 if is_shared else UTILISATION_EVERY_S)
        if busy or not is_shared:
            return listed, busy
        # Samples come a few times a second: until the next ones, shares are as they were.
        held = self._utilisation.held(now_s)
        return listed, {pid: percent for pid, percent in held.items() if pid in listed}


class _Utilisation:
    """Asks the driver how busy each process kept a board's multiprocessors."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self._asked_s: float | None = None
        self._seen_us = 0
        self._is_told = True
        self._held: dict[int, float] = {}
        self._held_s = 0.0

    def since_last(self, now_s: float, every_s: float) -> dict[int, float]:
        """Return summed samples in percent by process since the last answer.

        The first answer is about the time before, when there is no interval yet to share out.

        Args:
            now_s: Now.
            every_s: Seconds that must have passed since the last question.
        """
        if not self._is_told or (self._asked_s is not None and now_s - self._asked_s < every_s):
            return {}
        self._asked_s = now_s
        samples = self._samples()
        busy: dict[int, float] = {}
        for sample in samples:
            # Values above 100 % and old stamps are left-overs in the driver's buffer.
            if sample.timeStamp > self._seen_us and 0 < sample.smUtil <= 100:
                pid = int(sample.pid)
                busy[pid] = busy.get(pid, 0.0) + float(sample.smUtil)
        self._seen_us = max([self._seen_us, *(int(sample.timeStamp) for sample in samples)])
        if busy:
            self._held, self._held_s = busy, now_s
        return busy

    def held(self, now_s: float) -> dict[int, float]:
        """Return the latest samples there were, if that is not too long ago."""
        return self._held if now_s - self._held_s <= HOLD_S else {}

    def _samples(self) -> list[Any]:
        try:
            return list(self._nvml.nvmlDeviceGetProcessUtilization(self._handle, self._seen_us))
        except self._nvml.NVMLError as error:
            # NOT_FOUND, or success without samples: nobody did anything. NOT_SUPPORTED stays.
            unsupported = self._nvml.NVML_ERROR_NOT_SUPPORTED
            self._is_told = getattr(error, "value", None) != unsupported
            return []

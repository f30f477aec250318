"""One block: calls between reads of the meters, in the shape the meters need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.gpu.state import BoardState
from ecoautoml.energy.protocol.aligned import SUB_BLOCKS, AlignedRuns, Run, counts
from ecoautoml.energy.protocol.calls import Calls
from ecoautoml.records.energy_reading import EnergyReading, Provenance, weakest

MAX_CALLS_PER_BLOCK = 100_000
LEAST_BLOCK_S = 0.1
"""Of a block where no meter asks for more."""

UNALIGNED = "not aligned with the counter"
UNSTEADY = "not warmed up"


@runtime_checkable
class TellsState(Protocol):
    """A meter that tells the state its boards are in."""

    def board_states(self) -> Sequence[BoardState]:
        """Return each board's state now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A run of calls between two reads of the meters, or several runs shifted in phase.

    Attributes:
        energy_j: Joules per image of the target's components; None when one is unknown.
        provenance: The weakest among the components; None when ``energy_j`` is.
        source: The meters' sources, joined by " + ".
        call_s: Seconds of each call.
        flags: What is odd about it, in words.
        throttle_reasons: Why clocks were slowed down at either end; None when unknown.
    """

    energy_j: float | None
    provenance: Provenance | None
    source: str
    call_s: tuple[float, ...]
    flags: tuple[str, ...] = ()
    throttle_reasons: frozenset[str] | None = None


class BlockMaker:
    """Makes blocks of one load's calls, as long as the meters need and aligned where they tick.

    Args:
        calls: The load's calls.
        meters: What to read around each block.
        component: Which joules count: "cpu", "gpu:UUID", "gpu" for all boards; None: all.
        images_per_call: Images in one call.
    """

    def __init__(
        self,
        calls: Calls,
        meters: Sequence[EnergyMeter],
        component: str | None,
        images_per_call: int,
    ) -> None:
        self._calls = calls
        self._meters = tuple(meters)
        self._component = component
        self._images_per_call = images_per_call
        self._least_s = max((meter.min_window_s for meter in meters), default=LEAST_BLOCK_S)
        self._is_steady = True
        self._state_meters = [meter for meter in meters if isinstance(meter, TellsState)]
        self._sub_block_ticks = 0
        self._aligned = self._find_aligned()

    def warm_up(self, deadline_s: float) -> None:
        """Call until the load is steady.

        Args:
            deadline_s: Time of the clock after which to stop; that it came to that is flagged.
        """
        if self._aligned is not None:
            self._is_steady = self._calls.warm_up_device(deadline_s, self._temperature_c)
        else:
            self._calls.warm_up(deadline_s)

    def block(self) -> Block:
        """Make a block: one run of calls, or eight when a counter ticks."""
        before = self._throttle_reasons()
        if self._aligned is None:
            runs = [self._plain_run()]
        else:
            runs = [self._aligned.run(self._sub_block_ticks) for _ in range(SUB_BLOCKS)]
        after = self._throttle_reasons()
        return self._block_of(runs, None if before is None or after is None else before | after)

    def _find_aligned(self) -> AlignedRuns | None:
        for meter in self._meters:
            tick_s = meter.tick_s
            if tick_s is None or not any(
                counts(reading.component, self._component) for reading in meter.read()
            ):
                continue
            self._sub_block_ticks = math.ceil(meter.min_window_s / tick_s / SUB_BLOCKS)
            return AlignedRuns(self._calls, self._meters, meter, tick_s, self._component)
        return None

    def _plain_run(self) -> Run:
        before = [meter.read() for meter in self._meters]
        call_s = self._filling()
        after = [meter.read() for meter in self._meters]
        readings = tuple(
            reading
            for meter, start, end in zip(self._meters, before, after, strict=True)
            for reading in meter.readings_between(start, end)
        )
        return Run(readings=readings, call_s=call_s, is_aligned=True)

    def _filling(self) -> tuple[float, ...]:
        """Call until the slowest meter's shortest window is filled; return the calls' seconds.

        By what they take now: a number of calls fixed beforehand is too few once they get faster.
        """
        call_s: list[float] = []
        spent_s = 0.0
        while not call_s or (spent_s < self._least_s and len(call_s) < MAX_CALLS_PER_BLOCK):
            call_s.append(self._calls.once())
            spent_s += call_s[-1]
        return tuple(call_s)

    def _block_of(self, runs: Sequence[Run], throttle_reasons: frozenset[str] | None) -> Block:
        readings = [
            reading
            for run in runs
            for reading in run.readings
            if counts(reading.component, self._component)
        ]
        n_images = sum(len(run.call_s) for run in runs) * self._images_per_call
        joules = _sum_j(readings)
        flags = [UNALIGNED] if not all(run.is_aligned for run in runs) else []
        flags += [] if self._is_steady else [UNSTEADY]
        return Block(
            energy_j=None if joules is None else joules / n_images,
            provenance=None if joules is None else weakest(one.provenance for one in readings),
            source=" + ".join(dict.fromkeys(reading.source for reading in readings)),
            call_s=tuple(seconds for run in runs for seconds in run.call_s),
            flags=tuple(flags),
            throttle_reasons=throttle_reasons,
        )

    def _throttle_reasons(self) -> frozenset[str] | None:
        reasons = [state.throttle_reasons for state in self._states()]
        known = [one for one in reasons if one is not None]
        return frozenset().union(*known) if known and len(known) == len(reasons) else None

    def _temperature_c(self) -> float | None:
        degrees_c = [state.temperature_c for state in self._states()]
        return max((one for one in degrees_c if one is not None), default=None)

    def _states(self) -> list[BoardState]:
        return [
            state
            for meter in self._state_meters
            for state in meter.board_states()
            if counts(state.component, self._component)
        ]


def _sum_j(readings: Sequence[EnergyReading]) -> float | None:
    joules = [reading.energy_j for reading in readings if reading.energy_j is not None]
    return sum(joules) if readings and len(joules) == len(readings) else None

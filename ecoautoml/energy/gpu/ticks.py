"""How often a counter moves: found by looking at it, never taken from a table.

A GPU's energy counter stands still and then jumps. How long it stands is up to the driver: its
registry knows 100 to 1000 ms (open-gpu-kernel-modules 595.45.04, nvrm_registry.h), about 10 ms
were seen on an older card (gpuopenanalytics/pynvml pull request 18).
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOVES = 12
"""Gaps between moves behind a tick."""
NEAR = 0.25
"""Relative distance from the median up to which a gap is one tick."""
MIN_GAPS = 3
MAX_S = 2.0
PAUSE_S = 0.001
MAX_LOOKS = 4000
"""An end for clocks that do not advance."""
ALWAYS = 0.8
"""Part of all looks from which on a counter that moved in them is taken to move all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A counter at one moment.

    Attributes:
        value: What it stood at, in its own units; None when it could not be read.
        time_s: Seconds of the looker's clock.
        stamp_s: Seconds of the device's clock at which the value was taken; None: it tells none.
    """

    value: int | None
    time_s: float
    stamp_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """How often a counter moves.

    Attributes:
        tick_s: Typical seconds between two moves; None when they could not be told.
        gaps_s: The gaps behind it, in the order they were seen.
        has_stamps: Whether the gaps are those of the device's own time stamps.
        reason: Why ``tick_s`` is None.
    """

    tick_s: float | None
    gaps_s: tuple[float, ...] = ()
    has_stamps: bool = False
    reason: str | None = None


def find_tick(
    look: Callable[[], Look],
    *,
    wait: Callable[[float], None],
    max_s: float = MAX_S,
    moves: int = MOVES,
) -> Tick:
    """Return the seconds between two moves of a counter.

    An idle board moves its counter too, so nothing has to run meanwhile. Takes as long as ``moves``
    moves do, ``max_s`` at most.

    Args:
        look: Reads the counter.
        wait: Waits so many seconds between two looks.
        max_s: Seconds to look at most.
        moves: Gaps after which to stop.
    """
    looks = [look()]
    n_moves = 0
    while n_moves <= moves and len(looks) < MAX_LOOKS:
        if looks[-1].value is None:
            return Tick(tick_s=None, reason="the counter cannot be read")
        if looks[-1].time_s - looks[0].time_s >= max_s:
            break
        wait(PAUSE_S)
        looks.append(look())
        n_moves += looks[-1].value != looks[-2].value
    return tick_of(looks)


def tick_of(looks: Sequence[Look]) -> Tick:
    """Return the tick of a counter that was looked at again and again, all values known.

    The device's time stamps are used when they stand still as long as the value does: then they
    are those of the value. Some fields carry the time of the question instead.
    """
    moved = [after for before, after in itertools.pairwise(looks) if after.value != before.value]
    has_stamps = _are_stamps_the_values(looks)
    times_s = [one.stamp_s if has_stamps else one.time_s for one in moved]
    gaps_s = tuple(
        later - earlier
        for earlier, later in itertools.pairwise(times_s)
        if earlier is not None and later is not None
    )
    seen_s = looks[-1].time_s - looks[0].time_s
    if len(gaps_s) < MIN_GAPS:
        reason = f"the counter moved {len(moved)} times in {seen_s:.2f} s"
        return Tick(tick_s=None, gaps_s=gaps_s, reason=reason)
    if not has_stamps and len(moved) >= ALWAYS * (len(looks) - 1):
        reason = f"the counter moved at nearly every look, every {statistics.median(gaps_s):.4f} s"
        return Tick(tick_s=None, gaps_s=gaps_s, reason=reason)
    return Tick(tick_s=_typical(gaps_s), gaps_s=gaps_s, has_stamps=has_stamps)


def _typical(gaps_s: Sequence[float]) -> float:
    """Return the mean of the gaps near the median.

    The median alone is one of the few multiples of the time between two looks; gaps of two ticks,
    in which a move was missed, are left out.
    """
    middle_s = statistics.median(gaps_s)
    return statistics.fmean(gap_s for gap_s in gaps_s if abs(gap_s - middle_s) < NEAR * middle_s)


def _are_stamps_the_values(looks: Sequence[Look]) -> bool:
    if any(look.stamp_s is None for look in looks):
        return False
    pairs = list(itertools.pairwise(looks))
    return all((a.stamp_s == b.stamp_s) == (a.value == b.value) for a, b in pairs)

"""Calls, one after the other: made, numbered, timed, and made until they are steady."""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Callable, Sequence

from ecoautoml.energy.clock import Clock

MIN_WARM_UP_CALLS = 10
MIN_WARM_UP_S = 0.05
MAX_WARM_UP_CALLS = 20_000
STEADY = 0.1
"""Relative change of the median call time below which warming up is over."""
CHUNKS = 10
CHUNK_S = 0.5
"""A device is warmed up for as long as ten such chunks, 5 s, and then until they are alike."""
CHUNK_CV = 0.02
"""Coefficient of variation of the chunks' mean call times below which they are alike."""
CHUNK_RISE_C = 1.0
"""Degrees the chip may have warmed over the chunks: 0.2 °C/s, and sensors tell whole degrees."""
MOST_CALLS = 1_000_000

LOG = logging.getLogger(__name__)


class Calls:
    """Makes calls, numbers and times them.

    Args:
        run_once: Makes call number i.
        clock: Where times come from.
        synchronize: Waits until the device has done what it was given; part of each call's time.
    """

    def __init__(
        self, run_once: Callable[[int], None], clock: Clock, synchronize: Callable[[], None]
    ) -> None:
        self._run_once = run_once
        self._synchronize = synchronize
        self._made = 0
        self.clock = clock

    def once(self) -> float:
        """Make the next call and return its seconds."""
        start_s = self.clock.now()
        self._run_once(self._made)
        self._synchronize()
        self._made += 1
        return self.clock.now() - start_s

    def warm_up(self, deadline_s: float) -> None:
        """Call until the time of a call is steady, or that time of the clock has come."""
        began_s = self.clock.now()
        call_s = [self.once()]
        while self._made < MAX_WARM_UP_CALLS:
            now_s = self.clock.now()
            is_long_enough = now_s - began_s >= MIN_WARM_UP_S and self._made >= MIN_WARM_UP_CALLS
            if now_s >= deadline_s or (is_long_enough and _is_steady(call_s)):
                break
            call_s.append(self.once())

    def warm_up_device(self, deadline_s: float, temperature_c: Callable[[], float | None]) -> bool:
        """Call until a device that heats up is steady, and return whether it became so.

        At least 10 calls and 5 s, then until the mean call times of the last ten half seconds vary
        by less than 2 % and the chip warmed by no more than 1 °C meanwhile.

        Args:
            deadline_s: Time of the clock after which to stop.
            temperature_c: Reads the chip's temperature; None where it does not tell.
        """
        means_s: list[float] = []
        degrees_c: list[float | None] = []
        while self._made < MOST_CALLS:
            means_s.append(self._chunk())
            degrees_c.append(temperature_c())
            is_long_enough = len(means_s) >= CHUNKS and self._made >= MIN_WARM_UP_CALLS
            if is_long_enough and _is_settled(means_s[-CHUNKS:], degrees_c[-CHUNKS:]):
                return True
            if self.clock.now() >= deadline_s:
                break
        LOG.warning(
            "warming up ended after %d calls before they were steady; give it more time",
            self._made,
        )
        return False

    def _chunk(self) -> float:
        """Call for half a second and return the mean seconds of a call."""
        began_s = now_s = self.clock.now()
        for n_calls in itertools.count(1):
            self.once()
            now_s = self.clock.now()
            if now_s - began_s >= CHUNK_S or n_calls >= MOST_CALLS // CHUNKS:
                return (now_s - began_s) / n_calls
        raise AssertionError("unreachable")


def _is_steady(call_s: Sequence[float]) -> bool:
    half = MIN_WARM_UP_CALLS // 2
    earlier_s = statistics.median(call_s[-2 * half : -half])
    return abs(statistics.median(call_s[-half:]) - earlier_s) <= STEADY * earlier_s


def _is_settled(means_s: Sequence[float], degrees_c: Sequence[float | None]) -> bool:
    if statistics.stdev(means_s) >= CHUNK_CV * statistics.fmean(means_s):
        return False
    known_c = [one for one in degrees_c if one is not None]
    return not known_c or known_c[-1] - known_c[0] <= CHUNK_RISE_C

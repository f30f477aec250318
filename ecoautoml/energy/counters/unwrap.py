"""Sums of counters that wrap, jump, stand still or are set back, or whose clock errs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SLACK_J = 10.0
"""Joules by which a counter may be ahead of its power limit: it moves in steps."""


@dataclass(slots=True, kw_only=True)
class Unwrapper:
    """Adds up a raw counter, look by look, and says when it lost count.

    What a look can find, and what becomes of it:

    - A smaller value than before is one wrap, when the range is known and the joules are possible
      in the time. Otherwise the counter was set back, and count is lost.
    - More joules than the largest power allows are no joules: count is lost.
    - So much time since the last look that a second wrap cannot be excluded: count is lost.
    - The clock went back: no power and no wrap can be judged, so count is lost.
    - The value stays the same through `still_s` seconds of work: the counter stands still. Nothing
      is known until it moves again, nor about any window over that time.

    Where count is lost the sum starts afresh from the raw value, and `losses` grows by one reason;
    its length is the generation of a reading. Failed looks are simply left out: a counter that can
    be read again later has gone on meanwhile.

    Attributes:
        wrap_j: Joules at which the counter starts again at 0; None: it does not wrap.
        max_w: Watts the device cannot exceed for long; None: unknown, so every rise is believed.
        still_s: Seconds of work after which a value that stays the same means that the counter
            stands still; None: not judged.
        total_j: Unwrapped sum, from the counter's value at the first look.
        losses: Why count was lost, once for each time.
        is_still: Whether the counter stands still although the device works.
    """

    wrap_j: float | None
    max_w: float | None
    still_s: float | None = None
    total_j: float = 0.0
    losses: list[str] = field(default_factory=list)
    is_still: bool = False
    _last: tuple[float, float] | None = None
    _moved: tuple[float, float | None] | None = None

    @property
    def longest_gap_s(self) -> float | None:
        """Return the seconds between looks below which no wrap can be missed; None: any."""
        if self.wrap_j is None or self.max_w is None:
            return None
        return self.wrap_j / self.max_w

    def advance(self, value_j: float, now_s: float, active_s: float | None = None) -> None:
        """Take one look at the counter.

        Args:
            value_j: The raw counter in joules.
            now_s: Seconds of the meter's clock.
            active_s: Cumulative seconds the device has worked, of any number of processors; None:
                unknown, then standing still is not judged.
        """
        last, self._last = self._last, (value_j, now_s)
        if last is None:
            self.total_j = value_j
            self._moved = (now_s, active_s)
            return
        delta_j, loss = self._judge(value_j - last[0], now_s - last[1])
        loss = self._stood_still(value_j != last[0], now_s, active_s) or loss
        if loss is None:
            self.total_j += delta_j
        else:
            self.losses.append(loss)
            self.total_j = value_j

    def _judge(self, delta_j: float, gap_s: float) -> tuple[float, str | None]:
        """Return the joules since the last look, and why they are none."""
        if gap_s < 0:
            return 0.0, f"the clock went back by {-gap_s:.3g} s"
        has_fallen = delta_j < 0
        if has_fallen:
            delta_j += self.wrap_j or 0.0
        allowed_j = math.inf if self.max_w is None else self.max_w * gap_s
        if delta_j < 0 or (has_fallen and delta_j > allowed_j + SLACK_J):
            return 0.0, "the counter was set back (a reset, a suspend, another driver)"
        if delta_j > allowed_j + SLACK_J:
            return 0.0, f"the counter jumped by {delta_j:.4g} J in {gap_s:.3g} s, which cannot be"
        if self.longest_gap_s is not None and delta_j + (self.wrap_j or 0.0) <= allowed_j:
            return 0.0, f"read too seldom: in {gap_s:.0f} s the counter may have wrapped twice"
        return delta_j, None

    def _stood_still(self, has_moved: bool, now_s: float, active_s: float | None) -> str | None:
        """Note whether the counter moves; return a loss when it had stood still until now."""
        if has_moved or self._moved is None:
            was_still, self.is_still = self.is_still, False
            self._moved = (now_s, active_s)
            return "the counter stood still for a while" if was_still else None
        moved_s, moved_active_s = self._moved
        if self.still_s is None or active_s is None or moved_active_s is None:
            return None
        worked_s = min(now_s - moved_s, active_s - moved_active_s)
        self.is_still = self.is_still or worked_s >= self.still_s
        return None

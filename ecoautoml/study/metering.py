"""The joules of one sitting beside its workers', and what all of them must add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self

from ecoautoml.energy.base import Scope
from ecoautoml.energy.idle import idle_power, idle_watts
from ecoautoml.energy.select import MeterSet
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.records.energy_reading import EnergyLine, bill, weakest
from ecoautoml.records.idle_power import IdlePower

IDLE_S = 2.0
"""Seconds a counter is watched to learn the idle watts, at least, at both ends of a sitting."""
CHOOSING, OTHERS, IDLE, METERED = (
    "choosing and recording",
    "other programs",
    "idle power",
    "metered",
)


class Metering:
    """Reads this process, other programs and the whole device, from when it is made.

    The main process's time is cut into phases, one after the other, each with a window of its own.
    Together with the workers' lines and the idle power they add up to what the device's counter
    says; what is missing is unexplained, and told. No line is computed as what is left over.

    Args:
        opened: Opens the search's meters for a scope.
    """

    def __init__(self, opened: Callable[[Scope], MeterSet]) -> None:
        self._device = opened(Scope.DEVICE)
        self.explain = self._device.explain
        """Why these meters, one sentence each."""
        self.idle_before = self._idle_power()
        self.idle_w = idle_watts(self.idle_before)
        """Idle watts by component; whoever opens meters for workers hands it on."""
        self._process, self._others = opened(Scope.PROCESS), opened(Scope.OTHERS)
        self._whole = self._window(self._device)
        self._around = self._window(self._others)
        self._phase, self._now = CHOOSING, self._window(self._process)
        self._done: dict[str, EnergyLine] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def why_unknown(self) -> str | None:
        """Return why not all of the device's joules can be read; None when they can."""
        readings = self._whole.so_far()
        unknown = [one for one in readings if one.energy_j is None]
        if not readings:
            return "there is no meter"
        return f"{unknown[0].component}: {unknown[0].reason}" if unknown else None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Bill what this process does inside to a line of its own."""
        before = self._phase
        self._turn(name)
        try:
            yield
        finally:
            self._turn(before)

    def lines(self) -> tuple[EnergyLine, ...]:
        """Return the phases of this process so far."""
        now = self._now.line(self._phase)
        return tuple({**self._done, self._phase: self._with_before(now)}.values())

    def others(self) -> EnergyLine | None:
        """Return the joules of other programs so far; None when the meters count ours only."""
        return self._around.line(OTHERS) if self._others.meters else None

    def idle(self) -> EnergyLine | None:
        """Return the joules of the idle device so far; None when its idle watts are unknown."""
        known = [power for power in self.idle_before if power.idle_w is not None]
        if not known:
            return None
        duration_s = self._whole.duration_s
        energy_j = sum(power.idle_w or 0.0 for power in known) * duration_s
        return EnergyLine(
            line=IDLE,
            energy_j=energy_j,
            duration_s=duration_s,
            provenance=weakest(power.provenance for power in known),
            source=" + ".join(dict.fromkeys(power.source for power in known)),
            net_j=energy_j,
        )

    def metered(self) -> EnergyLine | None:
        """Return what the device has used so far, idle power included; None without a meter."""
        if not self._device.meters:
            return None
        readings = self._whole.so_far()
        line = bill(METERED, readings, self.idle_w)
        if line.energy_j is None:
            return line
        # a model of what work takes above idle does not contain the idle power yet
        outside_w = sum(
            self.idle_w.get(one.component, 0.0) * (1.0 - one.idle_share) for one in readings
        )
        return replace(line, energy_j=line.energy_j + outside_w * line.duration_s)

    def end(self) -> tuple[IdlePower, ...]:
        """Measure the idle watts again and close the meters.

        Call it when the workers have ended. What is waited for is not part of any line.
        """
        powers = self._idle_power()
        self.close()
        return powers

    def close(self) -> None:
        """Close the meters; a second call does nothing."""
        for meters in (self._process, self._others, self._device):
            meters.close()

    def _idle_power(self) -> tuple[IdlePower, ...]:
        return idle_power(self._device.meters, self._device.clock, seconds=IDLE_S)

    def _window(self, meters: MeterSet) -> EnergyWindow:
        window = EnergyWindow(meters.meters, meters.clock, idle_w=self.idle_w)
        window.__enter__()  # stays open: it is read while the search runs
        return window

    def _turn(self, name: str) -> None:
        """End the present phase and begin another; the new window begins where the old one ends."""
        ended, self._now = self._now, self._window(self._process)
        ended.__exit__(None, None, None)
        self._done[self._phase] = self._with_before(ended.line(self._phase))
        self._phase = name

    def _with_before(self, line: EnergyLine) -> EnergyLine:
        before = self._done.get(line.line)
        return line if before is None else before.followed_by(line)

"""The bill of a block of code."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from ecoautoml.config.models import AutoMeter, MeterConfig
from ecoautoml.energy.select import open_meters
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.measuring.choosing import resolved
from ecoautoml.records.energy_reading import EnergyLine, EnergyReading, Provenance


class measure:  # noqa: N801  (used like a function: with measure() as m)
    """Bills whatever runs inside a ``with`` block of this process and its children.

    >>> with measure() as m:
    ...     total = sum(range(10))
    >>> m.provenance is not None
    True

    Work given to a GPU by torch is waited for at both ends.

    Args:
        target: "auto", "cpu", "cuda" or "cuda:N": whose joules count.
        meter: Which meter to read, as in the configuration; the best there is by default.

    Raises:
        ConfigError: There is no such target, or a meter that was asked for cannot be read.
    """

    def __init__(self, target: str = "auto", meter: MeterConfig | None = None) -> None:
        self._set = open_meters(meter or AutoMeter(), resolved(target))
        self._window = EnergyWindow(self._set.meters, self._set.clock)

    def __enter__(self) -> Self:
        _synchronize()
        self._window.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _synchronize()
        self._window.__exit__(kind, error, trace)
        self._set.close()

    @property
    def energy_j(self) -> float | None:
        """Return joules over all components, so far or of the whole block; None when unknown."""
        return self._line.energy_j

    @property
    def provenance(self) -> Provenance | None:
        """Return how the joules came about: the weakest of the components'."""
        return self._line.provenance

    @property
    def source(self) -> str:
        """Return meter and model."""
        return self._line.source

    @property
    def duration_s(self) -> float:
        """Return seconds."""
        return self._window.duration_s

    @property
    def readings(self) -> tuple[EnergyReading, ...]:
        """Return the joules of each component, with the reason where they are unknown."""
        return tuple(self._window.so_far())

    @property
    def _line(self) -> EnergyLine:
        return self._window.line("block")


def _synchronize() -> None:
    """Wait for work given to a GPU; torch is only asked where it is loaded already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()

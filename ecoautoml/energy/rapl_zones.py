"""The processor's energy counters below /sys/class/powercap: which count, and their wraps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

LARGEST_W = 500.0
"""Watts no package exceeds, when the system states no power limit for it."""
SLACK_J = 10.0
"""Joules by which a counter may be ahead of its power limit: it moves in steps."""


@dataclass(slots=True, kw_only=True)
class Zone:
    """One counter and its unwrapped sum.

    Attributes:
        path: The zone's folder.
        package: Name of the package it lies in ("package-0").
        name: Its own name ("package-0", "dram").
        range_uj: Value at which the counter starts again at 0; None when not stated.
        ceiling_w: Watts it cannot exceed for long.
        total_uj: Unwrapped sum, from the counter's value when first read.
        generation: Times the counter lost count.
    """

    path: Path
    package: str
    name: str
    range_uj: int | None
    ceiling_w: float
    total_uj: int = 0
    generation: int = 0
    _last: tuple[int, float] | None = None

    def advance(self, now_s: float) -> None:
        """Read the counter and add what was used since the last read.

        A smaller value than before is one wrap. Whether it was two cannot be seen; so when the
        power limit allows for another wrap in the time since, or not even for what was counted
        (a counter set back, by suspend for one), the generation grows and the sum starts afresh.

        Args:
            now_s: Seconds of the meter's clock.

        Raises:
            OSError: The counter cannot be read (any more).
            ValueError: What was read is not a number.
        """
        value_uj = read_int(self.path / "energy_uj")
        last, self._last = self._last, (value_uj, now_s)
        if last is None:
            self.total_uj = value_uj
            return
        delta_uj = value_uj - last[0]
        if delta_uj < 0:
            delta_uj += self.range_uj or 0
        allowed_uj = self.ceiling_w * (now_s - last[1]) * 1e6
        is_sure = self.range_uj is None or delta_uj + self.range_uj > allowed_uj
        if not is_sure or not 0 <= delta_uj <= allowed_uj + SLACK_J * 1e6:
            self.generation += 1
            self.total_uj = value_uj
        else:
            self.total_uj += delta_uj

    @property
    def longest_gap_s(self) -> float | None:
        """Return the seconds between reads below which wraps cannot be missed."""
        return None if self.range_uj is None else self.range_uj * 1e-6 / self.ceiling_w


def find_zones(root: Path, *, sleep: Callable[[float], None] = time.sleep) -> list[Zone]:
    """Return the package and dram zones below ``root``, each physical counter once.

    - Zones are told apart by their name, never by their index: ``core`` and ``uncore`` are parts
      of a package, ``psys`` contains the packages; adding them would count joules twice.
    - A zone that both ``intel-rapl`` and ``intel-rapl-mmio`` show is one counter; the newer
      interface (mmio) is taken where it can be read.
    - Dies of one package that show the same counter are one, see `_without_mirrors`.
    """
    found: dict[tuple[str, str], Zone] = {}
    for folder in sorted(root.glob("intel-rapl*:*"), key=_mmio_first):
        zone = _zone(folder, root)
        if zone is None:
            continue
        key = (zone.package, zone.name)
        if key not in found or not _is_readable(found[key]):
            found[key] = zone
    zones = sorted(found.values(), key=lambda zone: (zone.package, zone.name))
    packages = [zone for zone in zones if is_package(zone.name)]
    kept = _without_mirrors(packages, sleep)
    return kept + [zone for zone in zones if zone.name == "dram"]


def is_package(name: str) -> bool:
    """Return whether a zone's name is a package's, or a package's die's."""
    return name.startswith("package-")


def read_int(path: Path) -> int:
    """Return the whole number a file holds."""
    return int(path.read_bytes())


def _mmio_first(folder: Path) -> tuple[bool, str]:
    return not folder.name.startswith("intel-rapl-mmio"), folder.name


def _zone(folder: Path, root: Path) -> Zone | None:
    name = _text(folder / "name")
    if name is None or not (is_package(name) or name == "dram"):
        return None
    package = _text(root / ":".join(folder.name.split(":")[:2]) / "name")
    try:
        range_uj = read_int(folder / "max_energy_range_uj")
    except (OSError, ValueError):
        range_uj = None
    return Zone(
        path=folder,
        package=package or folder.name,
        name=name,
        range_uj=range_uj,
        ceiling_w=_ceiling_w(folder),
    )


def _ceiling_w(folder: Path) -> float:
    limits_w = []
    for path in folder.glob("constraint_*_power_limit_uw"):
        try:
            limits_w.append(read_int(path) * 1e-6)
        except (OSError, ValueError):
            continue
    # A quarter on top: limits are kept on average over their time window only. A zone whose
    # limits are not set says 0.
    largest_w = 1.25 * max(limits_w, default=0.0)
    return largest_w if largest_w > 0 else LARGEST_W


def _is_readable(zone: Zone) -> bool:
    try:
        read_int(zone.path / "energy_uj")
    except (OSError, ValueError):
        return False
    return True


def _without_mirrors(zones: list[Zone], sleep: Callable[[float], None]) -> list[Zone]:
    """Return the zones without those that show another one's counter.

    Zen 1 and 2 with several dies show one zone per die, all with the socket's counter. Two zones
    are taken for one when, twice and some time apart, the value of one lies between two looks at
    the other.
    """
    suspects = _mirrors(zones)
    if suspects:
        sleep(0.02)
        suspects &= _mirrors(zones)
    return [zone for index, zone in enumerate(zones) if index not in suspects]


def _mirrors(zones: list[Zone]) -> set[int]:
    return {
        later
        for later in range(len(zones))
        if any(_shows_the_same(zones[earlier], zones[later]) for earlier in range(later))
    }


def _shows_the_same(one: Zone, other: Zone) -> bool:
    try:
        low_uj, value_uj, high_uj = (
            read_int(zone.path / "energy_uj") for zone in (one, other, one)
        )
    except (OSError, ValueError):
        return False
    return low_uj <= value_uj <= high_uj


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def shortest_gap_s(zones: Iterable[Zone]) -> float | None:
    """Return the seconds between reads below which no zone's wraps can be missed."""
    gaps_s = [zone.longest_gap_s for zone in zones]
    return min((gap_s for gap_s in gaps_s if gap_s is not None), default=None)

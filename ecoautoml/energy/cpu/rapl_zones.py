"""The processor's energy counters below /sys/class/powercap: which count, and their wraps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecoautoml.energy.counters.unwrap import Unwrapper

LARGEST_W = 500.0
"""Watts no package exceeds, when the system states no power limit for it."""
STILL_S = 0.2
"""Seconds of work after which a counter that has not moved stands still. The registers are updated
every millisecond or so (README of github.com/amd/amd_energy), so this is about 200 updates without
a microjoule."""


@dataclass(slots=True, kw_only=True)
class Zone:
    """One counter and its unwrapped sum.

    Attributes:
        path: The zone's folder.
        package: Name of the package it lies in ("package-0").
        name: Its own name ("package-0", "dram").
        counter: Adds up what is read.
    """

    path: Path
    package: str
    name: str
    counter: Unwrapper

    @property
    def label(self) -> str:
        """Return its folder's name."""
        return self.path.name

    def advance(self, now_s: float, busy_s: float | None) -> None:
        """Read the counter and add what was used since the last read.

        Args:
            now_s: Seconds of the meter's clock.
            busy_s: Cumulative busy seconds of the machine, None when unknown.

        Raises:
            OSError: The counter cannot be read (any more).
            ValueError: What was read is not a number.
        """
        self.counter.advance(read_int(self.path / "energy_uj") * 1e-6, now_s, busy_s)


def find_zones(root: Path, *, sleep: Callable[[float], None] = time.sleep) -> list[Zone]:
    """Return the package and dram zones below ``root``, each physical counter once.

    - Zones are told apart by their name, never by their index: ``core`` and ``uncore`` are parts
      of a package, ``psys`` contains the packages; adding them would count joules twice.
    - A zone that both ``intel-rapl`` and ``intel-rapl-mmio`` show is one counter; the newer
      interface (mmio) is taken where it can be read.
    - A dram zone at 0 has never counted: no counter stands behind it.
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
    return kept + [zone for zone in zones if zone.name == "dram" and not _is_dead(zone)]


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
        wrap_j = read_int(folder / "max_energy_range_uj") * 1e-6
    except (OSError, ValueError):
        wrap_j = None
    counter = Unwrapper(wrap_j=wrap_j, max_w=_ceiling_w(folder), still_s=STILL_S)
    return Zone(path=folder, package=package or folder.name, name=name, counter=counter)


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


def _is_dead(zone: Zone) -> bool:
    try:
        return read_int(zone.path / "energy_uj") == 0
    except (OSError, ValueError):
        return False  # its readings say why


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

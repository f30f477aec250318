"""The processor's energy counters (Linux powercap, Intel and AMD)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ecoautoml.energy.base import Scope
from ecoautoml.energy.clock import Clock, MonotonicClock
from ecoautoml.energy.counters.processes import ProcessTree
from ecoautoml.energy.cpu.filtering import is_filtered
from ecoautoml.energy.cpu.package_meter import PackageMeter
from ecoautoml.energy.cpu.rapl_zones import Zone, find_zones, is_package


class RaplMeter(PackageMeter):
    """Reads the packages (as "cpu", summed) and the memory (as "dram") of this machine.

    A counter wraps every few minutes to hours (`longest_gap_s`; 65 kJ at 500 W: 2 min, 262 kJ at
    500 W: 9 min). Reads unwrap it; a thread reads four times as often as that, so windows may be
    of any length. Should it be kept from running (a machine put to sleep), a second wrap cannot be
    excluded, and the window is unknown.

    Args:
        root: Where the zones are.
        proc: Where the kernel's process files are.
        clock: Where time comes from; None: the machine's monotonic clock.
        sleep: Waits between the two looks that find mirrored zones.
        scope: Whose part is read.
        dev: Where device files are.
    """

    permission_hint = (
        "only an administrator may read the counters (CVE-2020-8694); have one give you read "
        "permission on energy_uj, or set measure.meter to cpu_time, an estimate"
    )

    def __init__(
        self,
        root: Path = Path("/sys/class/powercap"),
        proc: Path = Path("/proc"),
        clock: Clock | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        scope: Scope = Scope.TREE,
        dev: Path = Path("/dev"),
    ) -> None:
        zones = by_component(find_zones(root, sleep=sleep))
        super().__init__(
            zones,
            sources={
                component: "rapl:" + "+".join(dict.fromkeys(zone.name for zone in members))
                for component, members in zones.items()
            },
            why_none=f"there are no energy counters below {root}; virtual machines and containers "
            "usually have none, so set measure.meter to cpu_time, an estimate",
            is_filtered=bool(zones) and is_filtered(proc, dev),
            tree=ProcessTree(proc),
            clock=clock or MonotonicClock(),
            scope=scope,
        )

    @property
    def name(self) -> str:
        """Return "rapl"."""
        return "rapl"


def by_component(zones: Sequence[Zone]) -> dict[str, list[Zone]]:
    """Return the zones that make up each component."""
    found: dict[str, list[Zone]] = {}
    for zone in zones:
        found.setdefault("cpu" if is_package(zone.name) else "dram", []).append(zone)
    return found

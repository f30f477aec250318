"""Watts of one busy hardware thread above idle, by processor: a small table with its source.

The figures are published per-vCPU coefficients: maximum minus minimum watts, from the SPECpower
results of servers with that processor. They differ by a factor of three between processors of one
decade, and none is known for anything newer than 2021, so whatever is computed from them carries
a stated uncertainty of a factor of two.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

SOURCE = "Cloud Carbon Footprint coefficients, 2024"
"""packages/core/src/compute/ComputeProcessorTypes.ts and, for the fallback,
packages/aws/src/domain/AwsFootprintEstimationConstants.ts in
github.com/cloud-carbon-footprint/cloud-carbon-footprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuWatts:
    """Watts of one thread of a kind of processor.

    Attributes:
        kind: Name of the kind.
        pattern: Regular expression on the model name of /proc/cpuinfo; "" for the fallback.
        idle_w: Watts per thread of an idle machine.
        max_w: Watts per thread of a fully busy machine.
    """

    kind: str
    pattern: str
    idle_w: float
    max_w: float

    @property
    def active_w(self) -> float:
        """Return watts of one busy thread above idle, to the figures the source supports."""
        return round(self.max_w - self.idle_w, 1)


FALLBACK = CpuWatts(kind="mean of AWS servers", pattern="", idle_w=0.74, max_w=3.5)

TABLE: tuple[CpuWatts, ...] = (
    CpuWatts(kind="EPYC 1st generation", pattern=r"EPYC 7\w\d1P?\b", idle_w=0.82, max_w=2.55),
    CpuWatts(kind="EPYC 2nd generation", pattern=r"EPYC 7\w\w2P?\b", idle_w=0.47, max_w=1.69),
    CpuWatts(kind="EPYC 3rd generation", pattern=r"EPYC 7\w\w3P?\b", idle_w=0.45, max_w=2.02),
    CpuWatts(kind="Sandy Bridge", pattern=r"Xeon\(R\) CPU E5-\d+ 0\b", idle_w=2.17, max_w=8.58),
    CpuWatts(kind="Ivy Bridge", pattern=r"Xeon\(R\) CPU E\d-\w+ v2\b", idle_w=3.04, max_w=8.25),
    CpuWatts(kind="Haswell", pattern=r"Xeon\(R\) CPU E\d-\w+ v3\b", idle_w=1.0, max_w=4.74),
    CpuWatts(kind="Broadwell", pattern=r"Xeon\(R\) CPU E\d-\w+ v4\b", idle_w=0.71, max_w=3.69),
    CpuWatts(
        kind="Skylake",
        pattern=r"Xeon\(R\) (Platinum|Gold|Silver|Bronze) \d1\d\d",
        idle_w=0.65,
        max_w=4.26,
    ),
    CpuWatts(
        kind="Cascade Lake",
        pattern=r"Xeon\(R\) (Platinum|Gold|Silver|Bronze) \d2\d\d",
        idle_w=0.64,
        max_w=3.97,
    ),
    CpuWatts(
        kind="Coffee Lake",
        pattern=r"Xeon\(R\) E-2[12]\d\d|i[3579]-[89]\d\d\d",
        idle_w=1.14,
        max_w=5.42,
    ),
)


def watts_for(model_name: str | None) -> CpuWatts:
    """Return the entry for a processor's model name, the fallback when none is known for it."""
    for entry in TABLE:
        if model_name is not None and re.search(entry.pattern, model_name):
            return entry
    return FALLBACK


def usable_threads() -> int:
    """Return the hardware threads this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return the processor's model name, None when the system does not tell."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    match = re.search(r"^model name\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    return match[1] if match else None

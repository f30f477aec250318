"""Whether Intel's protection of secrets makes the processor's energy counters inexact."""

from __future__ import annotations

import re
from pathlib import Path

FILTERED = 0.5
"""Relative uncertainty of filtered counters: readings can be off by up to a half, as Intel says
(www.green-coding.io/case-studies/rapl-and-sgx)."""
WARNING = "energy filtering is likely on (SGX is enabled), so readings can be off by up to 50 %"


def is_filtered(proc: Path = Path("/proc"), dev: Path = Path("/dev")) -> bool:
    """Return whether the counters are probably filtered.

    Since PLATYPUS (CVE-2020-8694) Intel adds noise to them while SGX is enabled. Whether it does
    can be read from a register only an administrator sees, so the kernel's signs of SGX are taken
    for it.

    Args:
        proc: Where the kernel's process files are.
        dev: Where device files are.
    """
    if (dev / "sgx_enclave").exists():
        return True
    try:
        text = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and "sgx" in flags[1].split()

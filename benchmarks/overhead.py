"""How much of a search goes into the tool itself: choosing, recording, reporting, and start-up.

    python benchmarks/overhead.py [--trials 12] [--out benchmarks/results/overhead.json]

Runs examples/01_first_search.yaml with that many trials, adds up the wall time the main process
spends inside the search's own code while trials run, and the writing of the reports, and divides by
the search's wall time. Beside it, how long ``ecoautoml --help`` takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import ecoautoml.api as api
from ecoautoml.result import SearchResult
from ecoautoml.study.environment import environment

ROOT = Path(__file__).parent.parent
SPENT_S: dict[str, float] = defaultdict(float)
CALLS: dict[str, int] = defaultdict(int)


def timed(owner: type, name: str, label: str) -> None:
    """Replace a method by one that adds up its wall time."""
    original = getattr(owner, name)

    def measured(*args: Any, **kwargs: Any) -> Any:
        started_s = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            SPENT_S[label] += time.perf_counter() - started_s
            CALLS[label] += 1

    setattr(owner, name, measured)


def help_times_s(runs: int = 7) -> list[float]:
    command = [sys.executable, "-m", "ecoautoml.cli.app", "--help"]
    times = []
    for _ in range(runs):
        started_s = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started_s)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/overhead.json")
    options = parser.parse_args()
    help_s = help_times_s()
    for name, label in (
        ("ask", "choosing"),
        ("report", "deciding"),
        ("tell", "recording"),
        ("mark", "recording"),
        ("stop", "deciding"),
    ):
        timed(api.SearchLoop, name, label)
    timed(SearchResult, "write", "reporting")
    with tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter()
        api.search(
            ROOT / "examples/01_first_search.yaml",
            overrides=[
                f"output={folder}",
                f"budget.trials={options.trials}",
                "budget.hours=null",
            ],
        )
        wall_s = time.perf_counter() - started_s
    for label, spent_s in SPENT_S.items():
        share = spent_s / wall_s
        print(f"{label:<10} {spent_s:7.2f} s in {CALLS[label]:5d} calls  {share:7.2%}")
    total = sum(SPENT_S.values()) / wall_s
    print(f"{'together':<10} {sum(SPENT_S.values()):7.2f} s of {wall_s:.0f} s{'':8} {total:7.2%}")
    median_s = statistics.median(help_s)
    print(f"--help     {median_s:7.3f} s median of {len(help_s)} (worst {max(help_s):.3f} s)")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    about = environment("cpu", (), 0)
    about.pop("git_commit")
    result = {
        "environment": about,
        "trials": options.trials,
        "wall_s": wall_s,
        "spent_s": dict(SPENT_S),
        "share": total,
        "help_s": help_s,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

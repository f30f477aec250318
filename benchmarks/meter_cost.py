"""What reading a meter costs: it is read before and after every block of calls that is measured.

    python benchmarks/meter_cost.py [--reads 2000] [--out benchmarks/results/meter_cost.json]

Reads every meter this machine has, about this process (as a worker measures) and about another one
(as the main process looks at a worker), and prints the median and the 99th percentile of a read in
microseconds, and the median's share of the shortest block.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ecoautoml.energy import METERS
from ecoautoml.energy.base import EnergyMeter
from ecoautoml.energy.select import survey
from ecoautoml.study.environment import environment

ROOT = Path(__file__).parent.parent
WARM_UP_READS = 20


def read_times_s(meter: EnergyMeter, pid: int | None, reads: int) -> list[float]:
    times = []
    for _ in range(WARM_UP_READS + reads):
        started_s = time.perf_counter()
        meter.read(pid)
        times.append(time.perf_counter() - started_s)
    return times[WARM_UP_READS:]


def cost(meter: EnergyMeter, pid: int | None, reads: int) -> dict[str, float]:
    times_s = read_times_s(meter, pid, reads)
    median_s = statistics.median(times_s)
    return {
        "median_us": 1e6 * median_s,
        "p99_us": 1e6 * statistics.quantiles(times_s, n=100)[98],
        "share_of_shortest_block": median_s / meter.min_window_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/meter_cost.json")
    options = parser.parse_args()
    costs: dict[str, dict[str, dict[str, float]]] = {}
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        for line in survey():
            if not line.ok or line.name == "replay":  # a trace is read from memory
                continue
            meter: EnergyMeter = METERS.get(line.name)()
            pids = {"this process": None, "another process": other.pid}
            costs[line.name] = {who: cost(meter, pid, options.reads) for who, pid in pids.items()}
            meter.close()
    finally:
        other.kill()
        other.wait()
    for name, found in costs.items():
        for who, seen in found.items():
            print(
                f"{name:<9} {who:<16} {seen['median_us']:7.0f} µs median "
                f"{seen['p99_us']:7.0f} µs p99  {seen['share_of_shortest_block']:.3%} of a block"
            )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(_result(costs, options.reads), indent=2) + "\n")


def _result(costs: Any, reads: int) -> dict[str, Any]:
    about = environment("cpu", (), 0)
    about.pop("git_commit")
    return {"environment": about, "reads": reads, "costs": costs}


if __name__ == "__main__":
    main()

"""What metering costs: a read, a window, and the metering of a training run.

    python benchmarks/meter_cost.py [--reads 2000] [--pairs 10] [--out benchmarks/results/...json]

1. A read of every meter this machine has, about this process (as a worker measures) and about
   another one (as the main process looks at a worker).
2. A window opened, closed and billed, in CPU time, beside the two reads in it. Promised: < 1 ms.
3. A training run with a window around every epoch in its process, and a read of it from outside
   every 2 s, against the same run without any of it, in turn. Promised: under 0.5 % of its time.
   Two figures: the CPU seconds that metering took, over the run's time; and the ratio of the times
   with its 95 % interval, which knows of caches and locks too, but whose noise is the machine's.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecoautoml.config.models import AutoMeter
from ecoautoml.energy import METERS
from ecoautoml.energy.base import CounterReading, EnergyMeter, difference, paired
from ecoautoml.energy.clock import MonotonicClock
from ecoautoml.energy.cpu.cpu_time import CpuTimeMeter
from ecoautoml.energy.protocol.blocks import half_width
from ecoautoml.energy.select import open_meters, survey
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.records.energy_reading import EnergyReading, Provenance
from ecoautoml.study.environment import environment

ROOT = Path(__file__).parent.parent
WARM_UP_READS = 20
WINDOW_LIMIT_US, TRAINING_LIMIT = 1000.0, 0.005
MARK_S = 2.0
EPOCHS, EPOCH_STEPS = 4, 100
"""Epochs per training run and steps per epoch: about a second per epoch on one thread."""


# --- reads and windows ----------------------------------------------------------------------------


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


class FreeMeter(CpuTimeMeter):
    """A meter whose read costs nothing: what is left of a window is the window itself."""

    def read(self, pid: int | None = None) -> list[CounterReading]:
        """Return a joule."""
        return [CounterReading(component="cpu", energy_j=1.0, time_s=1.0)]

    def readings_between(
        self, before: Sequence[CounterReading], after: Sequence[CounterReading]
    ) -> list[EnergyReading]:
        """Return the difference, as every meter does."""
        return [
            difference(start, end, provenance=Provenance.ESTIMATED, source="free")
            for start, end in paired(before, after)
        ]


def window_cpu_us(meter: EnergyMeter, windows: int) -> float:
    """Return CPU microseconds of one window: opened, closed, and made a line of a bill."""
    clock = MonotonicClock()
    started_s = time.process_time()
    for _ in range(windows):
        with EnergyWindow([meter], clock) as window:
            pass
        window.line("training")
    return 1e6 * (time.process_time() - started_s) / windows


def reads_cpu_us(meter: EnergyMeter, reads: int) -> float:
    started_s = time.process_time()
    for _ in range(reads):
        meter.read()
    return 1e6 * (time.process_time() - started_s) / reads


# --- a training run, in a process of its own ------------------------------------------------------


def train_on_order() -> None:
    """Train once for every line of standard input, metered or not, and say what it took."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 24, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(24, 48, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(48, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.rand(32, 3, 32, 32), torch.randint(0, 10, (32,))

    def epoch() -> None:
        for _ in range(EPOCH_STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()

    epoch()
    meters = open_meters(AutoMeter(), "cpu")
    print("ready", flush=True)
    for order in sys.stdin:
        started_s, metering_s = time.perf_counter(), 0.0
        for _ in range(EPOCHS):
            if order.strip() != "metered":
                epoch()
                continue
            before_s = time.process_time()
            window = EnergyWindow(meters.meters, meters.clock)
            window.__enter__()
            metering_s += time.process_time() - before_s
            epoch()
            before_s = time.process_time()
            window.__exit__(None, None, None)
            window.line("training")
            metering_s += time.process_time() - before_s
        found = {"wall_s": time.perf_counter() - started_s, "metering_s": metering_s}
        print(json.dumps(found), flush=True)


def run_once(
    trainer: subprocess.Popen[str], meters: Sequence[EnergyMeter], is_metered: bool
) -> dict[str, float]:
    """Order one run; look at it from outside every 2 s when it is metered."""
    assert trainer.stdin is not None
    assert trainer.stdout is not None
    trainer.stdin.write("metered\n" if is_metered else "plain\n")
    trainer.stdin.flush()
    marks_s, wait_s = 0.0, MARK_S / 2
    while not select.select([trainer.stdout], [], [], wait_s)[0]:
        wait_s = MARK_S
        if is_metered:
            before_s = time.process_time()
            for meter in meters:
                meter.read(trainer.pid)
            marks_s += time.process_time() - before_s
    found = json.loads(trainer.stdout.readline())
    return {**found, "marks_s": marks_s}


def training_cost(pairs: int) -> dict[str, float]:
    meters = open_meters(AutoMeter(), "cpu")
    trainer = subprocess.Popen(
        [sys.executable, __file__, "--train"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trainer.stdout is not None
    order = random.Random(0)
    shares, logs, walls_s = [], [], []
    try:
        assert trainer.stdout.readline() == "ready\n"
        for _ in range(pairs):
            runs = {}
            for is_metered in order.sample([True, False], 2):
                runs[is_metered] = run_once(trainer, meters.meters, is_metered)
            metered, plain = runs[True], runs[False]
            shares.append((metered["metering_s"] + metered["marks_s"]) / metered["wall_s"])
            logs.append(math.log(metered["wall_s"] / plain["wall_s"]))
            walls_s.append(plain["wall_s"])
    finally:
        trainer.kill()
        trainer.communicate()
        meters.close()
    mean, half = statistics.fmean(logs), half_width(logs) or math.nan
    return {
        "cpu_share_of_time": statistics.median(shares),
        "time_ratio": math.exp(mean),
        "time_ratio_low": math.exp(mean - half),
        "time_ratio_high": math.exp(mean + half),
        "run_s": statistics.median(walls_s),
        "pairs": pairs,
    }


# --- all of it ------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/meter_cost.json")
    options = parser.parse_args()
    if options.train:
        train_on_order()
        return
    about = environment("cpu", (), 0)
    about.pop("git_commit")
    hardware = about["hardware"]
    print(f"{hardware['processor']}, {hardware['cores']} cores, {hardware['system']}")
    costs, windows = meter_costs(options.reads)
    training = training_cost(options.pairs)
    print_training(training)
    tree = {
        "environment": about,
        "reads": options.reads,
        "costs": costs,
        "windows": windows,
        "training": training,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(tree, indent=2) + "\n")


def meter_costs(reads: int) -> tuple[dict[str, Any], dict[str, Any]]:
    costs: dict[str, Any] = {}
    windows: dict[str, Any] = {}
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        free_us = window_cpu_us(FreeMeter(), reads)
        windows["none"] = {"window_us": free_us, "beside_reads_us": free_us}
        for line in survey():
            if not line.ok or line.name == "replay":  # a trace is read from memory
                continue
            meter: EnergyMeter = METERS.get(line.name)()
            pids = {"this process": None, "another process": other.pid}
            costs[line.name] = {who: cost(meter, pid, reads) for who, pid in pids.items()}
            window_us = window_cpu_us(meter, reads)
            beside_us = window_us - 2 * reads_cpu_us(meter, reads)
            windows[line.name] = {"window_us": window_us, "beside_reads_us": beside_us}
            meter.close()
    finally:
        other.kill()
        other.wait()
    print_costs(costs, windows)
    return costs, windows


def print_costs(costs: dict[str, Any], windows: dict[str, Any]) -> None:
    for name, found in costs.items():
        for who, seen in found.items():
            print(
                f"read    {name:<9} {who:<16} {seen['median_us']:7.0f} µs median "
                f"{seen['p99_us']:7.0f} µs p99  {seen['share_of_shortest_block']:.3%} of a block"
            )
    for name, seen in windows.items():
        print(
            f"window  {name:<9} {seen['window_us']:7.0f} µs of CPU, "
            f"{seen['beside_reads_us']:5.0f} µs beside the reads; "
            f"{_kept(seen['beside_reads_us'] < WINDOW_LIMIT_US)} (under 1 ms)"
        )


def print_training(seen: dict[str, float]) -> None:
    print(
        f"training of {seen['run_s']:.1f} s, {EPOCHS} epochs, marks every {MARK_S:g} s: metering "
        f"took {seen['cpu_share_of_time']:.4%} of its time in CPU seconds; "
        f"{_kept(seen['cpu_share_of_time'] < TRAINING_LIMIT)} (under 0.5 %)\n"
        f"its time against the same without: {seen['time_ratio'] - 1:+.2%} "
        f"(95 %: {seen['time_ratio_low'] - 1:+.2%} to {seen['time_ratio_high'] - 1:+.2%}, "
        f"{seen['pairs']:g} pairs in turn)"
    )


def _kept(is_kept: bool) -> str:
    return "kept" if is_kept else "BROKEN"


if __name__ == "__main__":
    main()

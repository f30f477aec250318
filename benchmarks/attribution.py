"""Concurrent trials against the same trials alone: what each door to a shared counter bills them.

    python benchmarks/attribution.py [--repeats 10] [--out benchmarks/results/attribution.json]

Four small networks are trained on the digits, in a process each, one after the other and then two
and four at a time, all in turn so that drift meets every setting. Each trains for a fixed number
of its own CPU seconds, so that it costs the same alone and in company and what differs is the
sharing out; how much more work a CPU second did alone is told beside it. The joules are those of a
made-up device, seen through three doors:

- stat: a machine of 30 W idle and 8 W per busy thread, its counter made of this machine's own busy
  time (/proc/stat), other programs included;
- rapl: the same behind a tree of powercap files, written live while the trials run, which wraps;
- board: a GPU of 15 W idle and 100 W per busy thread whose counter moves every 0.1 s, made of what
  the trials themselves did, and shared out by sampled utilisation in whole percents.

Net joules are compared: the idle power stands apart. Per trial: net joules in company over those
alone, median over the repeats, and beside it how much the same trial alone scatters. Of the sum:
the same over all trials of a setting; and everybody's lines (trials, this process, other programs)
with the idle power over what the device's counter says.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attribution_devices import (
    ACTIVE_W,
    BOARD_ACTIVE_W,
    BOARD_IDLE_W,
    IDLE_W,
    SAMPLE_S,
    Board,
    Powercap,
    StatMeter,
)

from ecoautoml.energy.base import CounterReading, EnergyMeter, Scope
from ecoautoml.energy.cpu.rapl import RaplMeter
from ecoautoml.energy.gpu.nvml import NvmlMeter
from ecoautoml.records.energy_reading import EnergyReading
from ecoautoml.study.environment import environment

ROOT = Path(__file__).parent.parent
WRITE_S, TICK_S = 0.02, 0.1
"""Seconds between two writes of the powercap files, and two moves of the board's counter."""
POLL_S = 0.5
"""Seconds between two reads of the workers, as in a search."""
TRIALS: dict[str, tuple[int, float]] = {
    "A": (8, 1.2),
    "B": (16, 1.5),
    "C": (24, 1.8),
    "D": (32, 2.1),
}
"""Channels of the network, and CPU seconds of its training."""
SETTINGS: tuple[tuple[str, ...], ...] = (("A",), ("B",), ("C",), ("D",), ("A", "B"), tuple(TRIALS))


# --- a trial ------------------------------------------------------------------------------------


def serve() -> None:
    """Train as often as told, with one thread; the trial's side of `Worker`."""
    import torch
    from sklearn.datasets import load_digits

    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    _train(torch, images, labels, 8, 0.1)  # what torch imports late is no part of a trial
    print("ready", flush=True)
    for line in sys.stdin:
        channels, cpu_s = json.loads(line)
        started_s, steps = time.process_time(), _train(torch, images, labels, channels, cpu_s)
        told = {"cpu_s": time.process_time() - started_s, "steps": steps}
        print(json.dumps(told), flush=True)


def _train(torch: Any, images: Any, labels: Any, channels: int, cpu_s: float) -> int:
    until_s = time.process_time() + cpu_s
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, channels, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * channels, 10),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    steps = 0
    while time.process_time() < until_s:
        batch = torch.randint(len(images), (32,))
        loss = torch.nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return steps


class Worker:
    """A process that trains one of the networks when told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._to, self._from = self.process.stdin, self.process.stdout
        assert self._from.readline() == "ready\n"

    @property
    def pid(self) -> int:
        """Return its process number."""
        return self.process.pid

    def start(self) -> None:
        """Begin a training."""
        self._to.write(json.dumps(TRIALS[self.name]) + "\n")
        self._to.flush()

    def result(self) -> dict[str, float]:
        """Wait for its end; return its CPU seconds and its steps."""
        told: dict[str, float] = json.loads(self._from.readline())
        return told

    def end(self) -> None:
        """Let it end."""
        self._to.close()
        self.process.wait()


# --- the bill -----------------------------------------------------------------------------------


class Door:
    """The meters of a search at one door to a device: trials, this process, others, the whole."""

    def __init__(
        self, name: str, opened: Callable[[Scope], EnergyMeter], idle_w: float = IDLE_W
    ) -> None:
        self.name, self.idle_w = name, idle_w
        self._meters = {scope: opened(scope) for scope in Scope}

    def read(self, workers: Sequence[Worker]) -> dict[str, list[CounterReading]]:
        """Read every line of the bill."""
        tree = self._meters[Scope.TREE]
        parts = {worker.name: tree.read(worker.pid) for worker in workers}
        rest = (Scope.PROCESS, Scope.OTHERS, Scope.DEVICE)
        return parts | {scope.value: self._meters[scope].read() for scope in rest}

    def poll(self, worker: Worker) -> None:
        """Read a trial on the way, as the main process of a search does."""
        self._meters[Scope.TREE].read(worker.pid)

    def net_j(self, reading: EnergyReading) -> float:
        """Return the joules above idle."""
        net = reading.net_j({reading.component: self.idle_w})
        assert net is not None, reading.reason
        return net

    def between(
        self,
        before: dict[str, list[CounterReading]],
        after: dict[str, list[CounterReading]],
    ) -> dict[str, EnergyReading]:
        """Return the joules of every line between two reads."""
        found = {}
        for name, start in before.items():
            scope = Scope(name) if name in set(Scope) else Scope.TREE
            (found[name],) = self._meters[scope].readings_between(start, after[name])
        return found

    def close(self) -> None:
        """Close all meters."""
        for meter in self._meters.values():
            meter.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One setting once: net joules by trial, how well the bill closes, and CPU seconds per step.

    ``unexplained`` is what the lines and the idle power miss of the device's joules, relative.
    """

    net: dict[str, float]
    unexplained: float
    step_s: dict[str, float]


def run_setting(names: Sequence[str], workers: dict[str, Worker], doors: Sequence[Door]) -> Any:
    """Return the `Run` of each door."""
    chosen = [workers[name] for name in names]
    everyone = list(workers.values())
    time.sleep(0.3)  # let what was before come to rest
    before = {door.name: door.read(everyone) for door in doors}
    results: dict[str, dict[str, float]] = {}
    for worker in chosen:
        worker.start()
    waiting = [
        threading.Thread(target=lambda one=worker: results.update({one.name: one.result()}))
        for worker in chosen
    ]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        while thread.is_alive():
            thread.join(POLL_S)
            for door in doors:
                door.poll(chosen[0])
    time.sleep(2 * SAMPLE_S)  # what the board has not told yet
    steps = {name: told["cpu_s"] / told["steps"] for name, told in results.items()}
    runs = {}
    for door in doors:
        found = door.between(before[door.name], door.read(everyone))
        device = found.pop(Scope.DEVICE.value)
        assert device.energy_j is not None, device.reason
        lines_j = sum(door.net_j(reading) for reading in found.values())
        unexplained = lines_j + door.idle_w * device.duration_s - device.energy_j
        runs[door.name] = Run(
            net={name: door.net_j(found[name]) for name in names},
            unexplained=unexplained / device.energy_j,
            step_s=steps,
        )
    return runs


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again, in a thread."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(seconds):
            act()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def all_runs(repeats: int) -> dict[tuple[str, tuple[str, ...]], list[Run]]:
    """Return every setting's runs by door, all settings in random order in each repeat."""
    workers = {name: Worker(name) for name in TRIALS}
    found: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        powercap = Powercap(Path(folder) / "powercap")
        board = Board([worker.pid for worker in workers.values()])
        doors = [
            Door("stat", StatMeter),
            Door("rapl", lambda scope: RaplMeter(powercap.root, scope=scope)),
            Door(
                "board",
                lambda scope: NvmlMeter([board.UUID], board, scope=scope),
                BOARD_IDLE_W,
            ),
        ]
        with every(WRITE_S, powercap.write), every(TICK_S, board.move):
            run_setting(tuple(TRIALS), workers, doors)  # warms up, and is thrown away
            for repeat in range(repeats):
                for names in random.Random(repeat).sample(SETTINGS, len(SETTINGS)):
                    for door, run in run_setting(names, workers, doors).items():
                        found.setdefault((door, names), []).append(run)
            for door in doors:
                door.close()
    for worker in workers.values():
        worker.end()
    return found


# --- the table ----------------------------------------------------------------------------------


def noise(values: Sequence[float]) -> float:
    """Return the relative scatter of repeats: 1.48 times the median deviation from the median."""
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - middle) for value in values) / middle


def compare(
    runs: dict[tuple[str, tuple[str, ...]], list[Run]], door: str, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return one row per trial of a setting, and one of their sum."""
    together = [run.net for run in runs[door, names]]
    alone = {name: [run.net[name] for run in runs[door, (name,)]] for name in names}
    rows = [_row(door, names, name, alone[name], [net[name] for net in together]) for name in names]
    sums_j = [sum(parts) for parts in zip(*alone.values(), strict=True)]
    total = _row(door, names, "sum", sums_j, [sum(net.values()) for net in together])
    unexplained = statistics.median(run.unexplained for run in runs[door, names])
    return [*rows, {**total, "unexplained": unexplained}]


def _row(
    door: str, names: tuple[str, ...], name: str, alone: list[float], together: list[float]
) -> dict[str, Any]:
    ratios = [two / one for one, two in zip(alone, together, strict=True)]
    return {
        "door": door,
        "concurrent": len(names),
        "trial": name,
        "alone_j": statistics.median(alone),
        "together_j": statistics.median(together),
        "error": statistics.median(ratios) - 1,
        "error_iqr": _quartiles(ratios),
        "noise_alone": noise(alone),
        "noise_together": noise(together),
    }


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0] - 1, values[0] - 1
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low - 1, high - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/attribution.json")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    started_s = time.perf_counter()
    runs = all_runs(options.repeats)
    about = environment("cpu", (), 0)
    about.pop("git_commit")
    print(", ".join(f"{title}: {fact}" for title, fact in about["hardware"].items()))
    rows = [
        row
        for door in ("stat", "rapl", "board")
        for names in SETTINGS
        if len(names) > 1
        for row in compare(runs, door, names)
    ]
    _print(rows)
    slower = {
        len(names): statistics.median(
            run.step_s[name] / alone.step_s[name] - 1
            for name in names
            for run, alone in zip(runs["stat", names], runs["stat", (name,)], strict=True)
        )
        for names in SETTINGS
        if len(names) > 1
    }
    for count, share in slower.items():
        print(f"a step took {share:+.1%} CPU time with {count} trials at once")
    print(f"{options.repeats} repeats in {time.perf_counter() - started_s:.0f} s")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "environment": about,
        "repeats": options.repeats,
        "machine_w": {"idle": IDLE_W, "active": ACTIVE_W},
        "board_w": {"idle": BOARD_IDLE_W, "active": BOARD_ACTIVE_W},
        "rows": rows,
        "cpu_time_per_step": slower,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")


def _print(rows: Sequence[dict[str, Any]]) -> None:
    print(
        f"{'door':<6} {'at once':>7} {'trial':>5} {'alone J':>8} {'noise':>6} "
        f"{'together J':>10} {'noise':>6} {'error':>7} {'quartiles':>16} {'unexplained':>11}"
    )
    for row in rows:
        low, high = row["error_iqr"]
        unexplained = f"{row['unexplained']:+11.2%}" if "unexplained" in row else ""
        print(
            f"{row['door']:<6} {row['concurrent']:>7} {row['trial']:>5} {row['alone_j']:8.2f} "
            f"{row['noise_alone']:6.1%} {row['together_j']:10.2f} {row['noise_together']:6.1%} "
            f"{row['error']:+7.2%} {low:+7.2%} {high:+7.2%}  {unexplained}"
        )


if __name__ == "__main__":
    main()

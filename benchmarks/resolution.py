"""How small a difference in energy this machine's best meter can tell, and how often it errs.

    python benchmarks/resolution.py [--repeats 30] [--out benchmarks/results/resolution.json]

Two loads run a real network (timm's mobilenetv3_small_050 at 64 px) in ONNX Runtime; one makes more
calls of it per unit of work, so that their energies differ by a known share: 0, 2, 3 or 5 %. Each
pair is measured in turn, as `ecoautoml measure compare` does, and the verdicts are counted. Run it
on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm

from ecoautoml.config.models import AutoMeter
from ecoautoml.data.photographs import photograph_crops
from ecoautoml.energy.lease import DeviceLease, lease_path
from ecoautoml.energy.protocol.compare import Load, measure_in_turn
from ecoautoml.energy.select import MeterSet, open_meters
from ecoautoml.models.deployable import Deployable
from ecoautoml.runtimes.onnx_runtime import OnnxRuntime, OnnxSession
from ecoautoml.study.environment import environment

ROOT = Path(__file__).parent.parent
NETWORK, SIDE = "mobilenetv3_small_050", 64
CALLS: dict[str, tuple[int, int]] = {
    "0 %": (20, 20),
    "2 %": (50, 51),
    "3 %": (33, 34),
    "5 %": (20, 21),
}
"""Calls of the network per unit of work of the two loads."""
PRECISION, MAX_SECONDS = 0.02, 60.0


def load_network(folder: Path) -> OnnxSession:
    network = timm.create_model(NETWORK, num_classes=10).eval()
    module = Deployable(network, mean=(0.5,) * 3, std=(0.25,) * 3).eval()
    runtime = OnnxRuntime()
    runtime.trace(module, (1, 3, SIDE, SIDE)).write(module, folder / "model.onnx")
    return runtime.load(folder / "model.onnx")


def load_of(name: str, session: OnnxSession, n_calls: int) -> Load:
    images = [image[None] for image in photograph_crops(32, 3, SIDE, SIDE)]
    inputs = [np.ascontiguousarray(image) for image in images]

    def run_once(call: int) -> None:
        for index in range(n_calls):
            session.run(inputs[(call + index) % len(inputs)])

    return Load(name=name, run_once=run_once)


def one_verdict(loads: list[Load], meters: MeterSet, seed: int) -> tuple[str, float, int, float]:
    """Return verdict, ratio, rounds and seconds of one comparison."""
    started_s = time.perf_counter()
    with DeviceLease(lease_path("cpu")):
        contest = measure_in_turn(
            loads,
            meters=meters.meters,
            clock=meters.clock,
            precision=PRECISION,
            max_seconds=MAX_SECONDS,
            component=meters.target_component,
            seed=seed,
        )
    (comparison,) = contest.comparisons
    elapsed_s = time.perf_counter() - started_s
    return str(comparison.verdict), comparison.ratio or 0.0, contest.rounds, elapsed_s


def judge(verdicts: Counter[str], is_equal: bool) -> dict[str, float]:
    n = sum(verdicts.values())
    right = verdicts["tie"] if is_equal else verdicts["A"]
    wrong = n - verdicts["tie"] if is_equal else verdicts["B"]
    return {"correct": right / n, "tie": verdicts["tie"] / n, "wrong": wrong / n}


def main(say: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/resolution.json")
    options = parser.parse_args()
    meters = open_meters(AutoMeter(), "cpu")
    found: dict[str, list[tuple[str, float, int, float]]] = {name: [] for name in CALLS}
    with tempfile.TemporaryDirectory() as folder:
        session = load_network(Path(folder))
        for repeat in range(options.repeats):  # all differences in turn: they meet the same drift
            for name, (fewer, more) in CALLS.items():
                loads = [load_of("A", session, fewer), load_of("B", session, more)]
                found[name].append(one_verdict(loads, meters, repeat))
    results: dict[str, Any] = {}
    say(f"{'apart':>6} {'correct':>8} {'tie':>6} {'wrong':>6} {'ratio':>7} {'rounds':>7} {'s':>6}")
    for name, (fewer, more) in CALLS.items():
        verdicts, ratios, rounds, seconds = zip(*found[name], strict=True)
        shares = judge(Counter(verdicts), fewer == more)
        results[name] = {
            **shares,
            "true_ratio": fewer / more,
            "median_ratio": statistics.median(ratios),
            "median_rounds": statistics.median(rounds),
            "median_s": statistics.median(seconds),
            "n": len(verdicts),
        }
        say(
            f"{name:>6} {shares['correct']:8.0%} {shares['tie']:6.0%} {shares['wrong']:6.0%} "
            f"{results[name]['median_ratio']:7.4f} {results[name]['median_rounds']:7g} "
            f"{results[name]['median_s']:6.1f}"
        )
    about = environment("cpu", meters.explain, 0)
    about.pop("git_commit")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tree = {"environment": about, "repeats": options.repeats, "results": results}
    options.out.write_text(json.dumps(tree, indent=2) + "\n")


if __name__ == "__main__":
    main()

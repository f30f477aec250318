"""What a proposal costs in a study of Optuna's: `EnergyFirstSampler`, 30 mixed dimensions.

    python benchmarks/proposal_cost.py [--finished 100 500 2000] [--proposals 40] [--profile]

A study is filled with random trials: 30 parameters, of which 9 are conditional (an optimizer
decides on its momentum, the depth on which blocks there are), and two or three objectives, one of
which is known beforehand. Then trials are begun and told one after the other. Timed is what the
sampler adds to a trial, in seconds of the processor: from `study.ask` to the first value. The first
proposal, which reads the whole study, is shown on its own. Promised: a median below 50 ms at 500
finished trials, and below 250 ms at 2,000, on one core.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import math
import pstats
import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from ecoautoml.strategies import EnergyFirstSampler
from ecoautoml.study.environment import environment

BLOCKS = 8
LIMITS_MS = {500: 50.0, 2000: 250.0}


def suggest(trial: optuna.trial.Trial) -> dict[str, Any]:
    depth = trial.suggest_int("depth", 2, BLOCKS)
    for block in range(BLOCKS):
        if block < depth:
            trial.suggest_categorical(f"kernel{block}", [3, 5, 7])
    for stage in range(5):
        trial.suggest_int(f"width{stage}", 8, 64, step=8)
        trial.suggest_categorical(f"kind{stage}", ["plain", "bottleneck", "depthwise"])
    trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    trial.suggest_float("dropout", 0.0, 0.5)
    trial.suggest_float("smoothing", 0.0, 0.3, step=0.05)
    trial.suggest_int("batch", 16, 512, log=True)
    trial.suggest_categorical("mixup", [True, False])
    trial.suggest_categorical("schedule", ["cosine", "step", None])
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "rmsprop"])
    if optimizer != "adam":
        trial.suggest_float("momentum", 0.5, 0.99)
    if optimizer == "sgd":
        trial.suggest_categorical("nesterov", [True, False])
    if optimizer == "adam":
        trial.suggest_float("beta", 0.8, 0.999)
    trial.suggest_float("decay", 1e-6, 1e-2, log=True)
    return trial.params


def macs(params: Mapping[str, Any]) -> float:
    kernels = sum(params.get(f"kernel{block}", 0) ** 2 for block in range(BLOCKS))
    return float(kernels * sum(params[f"width{stage}"] ** 2 for stage in range(5)))


def values(params: Mapping[str, Any], n_objectives: int) -> list[float]:
    rate = math.log10(params["rate"]) + 2.0
    error = 0.05 + macs(params) ** -0.2 + 0.02 * rate**2 + 0.05 * params["dropout"] ** 2
    error += 0.02 * (params["optimizer"] == "adam") + 0.01 * params.get("momentum", 0.9)
    spread = 0.1 + abs(params["smoothing"] - 0.1) + 0.02 * params["mixup"]
    return [error, macs(params), spread][:n_objectives]


def filled(n_finished: int, n_objectives: int, seed: int) -> optuna.Study:
    study = optuna.create_study(
        directions=["minimize"] * n_objectives, sampler=optuna.samplers.RandomSampler(seed=seed)
    )
    study.optimize(lambda trial: values(suggest(trial), n_objectives), n_trials=n_finished)
    study.sampler = EnergyFirstSampler(costs={1: macs}, seed=seed)
    return study


def one_proposal(study: optuna.Study, n_objectives: int) -> float:
    started_s = time.process_time()  # other programs do not count
    trial = study.ask()
    trial.suggest_int("depth", 2, BLOCKS)
    taken_s = time.process_time() - started_s
    study.tell(trial, values(suggest(trial), n_objectives))
    return 1e3 * taken_s


def measure(n_finished: int, n_objectives: int, n_proposals: int) -> dict[str, float]:
    study = filled(n_finished, n_objectives, seed=0)
    first_ms = one_proposal(study, n_objectives)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times_ms = [one_proposal(study, n_objectives) for _ in range(n_proposals)]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "finished": n_finished,
        "objectives": n_objectives,
        "median_ms": statistics.median(times_ms),
        "p95_ms": float(np.quantile(times_ms, 0.95)),
        "mean_ms": statistics.fmean(times_ms),
        "first_ms": first_ms,
        "peak_memory_growth_mib": grown / 1024,
    }


def profile(n_finished: int, n_objectives: int, n_proposals: int) -> None:
    study = filled(n_finished, n_objectives, seed=0)
    one_proposal(study, n_objectives)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(n_proposals):
        one_proposal(study, n_objectives)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--finished", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--objectives", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--proposals", type=int, default=40)
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--out", type=Path, default=Path("runs/proposal_cost.json"))
    chosen = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    print("finished  objectives  median ms  95 % ms  mean ms  first ms  memory MiB")
    for n_finished in chosen.finished:
        for n_objectives in chosen.objectives:
            row = measure(n_finished, n_objectives, chosen.proposals)
            rows.append(row)
            limit = LIMITS_MS.get(n_finished, math.inf)
            print(
                f"{n_finished:8d}  {n_objectives:10d}  {row['median_ms']:9.1f}  "
                f"{row['p95_ms']:7.1f}  {row['mean_ms']:7.1f}  {row['first_ms']:8.1f}  "
                f"{row['peak_memory_growth_mib']:10.1f}"
                f"{'' if row['median_ms'] <= limit else f'   over {limit:g} ms'}"
            )
            if chosen.profile:
                profile(n_finished, n_objectives, 10)
    about = environment("cpu", (), 0)
    about.pop("git_commit")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"environment": about, "dimensions": 30, "limits_ms": LIMITS_MS, "rows": rows}
    chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

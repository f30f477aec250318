"""Batch size and GPU power limit as hyperparameters: joules until a target accuracy is reached.

    python benchmarks/zeus.py --data DIR [--gpus v100 ...] [--workloads cifar100 ...]
        [--methods NAME ...] [--seeds 10] [--first-seed 0] [--budget 20] [--json]

Replays searches on the traces of Zeus (You, Chung and Chowdhury, NSDI 2023, arXiv 2208.06102):
`zeus_train.parquet` says after how many epochs runs with a batch size reached a target,
`zeus_power.parquet` how many seconds and watts an epoch takes at each batch size and power limit of
a GPU. Energy to accuracy is epochs times joules per epoch, time to accuracy epochs times seconds.

A search tries one pair after the other. Each try is a training and pays its joules; one that does
not reach the target pays until its last epoch. What it finds is compared with what is done without
a search: the default batch size at the highest power limit; and with the best pair there is. As in
the paper, jobs recur: savings pay a search back after some more trainings. A pair counts with all
joules of its runs per run that reached the target, because one that did not is started again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import argparse
import json
import math
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from replay_clock import Replay
from replay_columns import TableError
from replay_methods import METHODS, expanded
from replay_tables import Table, read_table

NEAR = 1.05
"""A pair this much dearer than the best one is as good as found."""


class Job(NamedTuple):
    """A training that recurs, as in the examples of Zeus's own simulator.

    Attributes:
        network: What is trained.
        target: Metric to be reached.
        epochs: A run that has not reached it by then has failed.
        batch_size: What is used without a search; less where the GPU has not the memory.
    """

    network: str
    target: float
    epochs: int
    batch_size: int


JOBS = {
    "cifar100": Job("shufflenetv2", 0.6, 100, 1024),
    "imagenet": Job("resnet50", 0.65, 100, 256),
    "squad": Job("bert_base_uncased", 84.0, 6, 32),
    "librispeech": Job("deepspeech2", 40.0, 16, 192),
    "movielens-1m": Job("ncf", 0.41, 100, 1024),
    "sentiment140": Job("bert_base_uncased", 0.84, 10, 128),
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One job on one GPU.

    Attributes:
        name: Of both.
        table: One candidate for each pair; errors are times to accuracy, in the longest one.
        joules: Joules per run that reaches the target, ``(n,)``.
        seconds: Seconds per run that reaches the target, ``(n,)``.
        try_joules: Mean joules of one run, ``(n,)``.
        default: Row of the default batch size at the highest power limit.
    """

    name: str
    table: Table
    joules: NDArray[np.float64]
    seconds: NDArray[np.float64]
    try_joules: NDArray[np.float64]
    default: int

    @property
    def best(self) -> int:
        """Return the row of the pair that needs the fewest joules."""
        return int(np.argmin(self.joules))


def joined(train: pd.DataFrame, power: pd.DataFrame, dataset: str, gpu: str) -> pd.DataFrame:
    """Return one row per pair of batch size and power limit: what its runs took.

    Raises:
        TableError: The GPU has no trace of the job.
    """
    job = JOBS[dataset]
    runs = train[(train.dataset == dataset) & np.isclose(train.target_metric, job.target)]
    epochs = runs.groupby(["batch_size", "run"]).target_epoch.first()
    used = power[(power.gpu == gpu) & (power.dataset == dataset) & (power.network == job.network)]
    used = used[used.optimizer.isin(set(runs.optimizer))]
    rows = []
    for one in used.itertuples():
        if one.batch_size not in epochs.index.get_level_values(0):
            continue
        these = epochs.loc[one.batch_size].to_numpy(dtype=float)
        has_reached = these <= job.epochs  # NaN: never
        paid = np.where(has_reached, these, job.epochs)
        n_reached = max(int(has_reached.sum()), 1)
        # what a search sees of a run that failed: it has to be started again
        seen = np.where(has_reached, paid, 2.0 * paid) * one.time_per_epoch
        rows.append(
            {
                "batch_size": one.batch_size,
                "power_limit": one.power_limit,
                "time_per_epoch_s": one.time_per_epoch,
                "energy_per_epoch_j": one.energy_per_epoch_j,
                "time_to_accuracy_s": paid.sum() / n_reached * one.time_per_epoch,
                "energy_to_accuracy_j": paid.sum() / n_reached * one.energy_per_epoch_j,
                "try_j": paid.mean() * one.energy_per_epoch_j,
                **{f"seen_run{number}": each for number, each in enumerate(seen)},
            }
        )
    if len(rows) < 2:
        raise TableError(f"there is no trace of {dataset} on {gpu}")
    return pd.DataFrame(rows)


def workload(train: pd.DataFrame, power: pd.DataFrame, dataset: str, gpu: str) -> Workload:
    """Return a job on a GPU as a table that searches can be replayed on."""
    frame = joined(train, power, dataset, gpu)
    longest = float(frame.time_to_accuracy_s.max())
    seen = [name for name in frame if name.startswith("seen_run")]
    about = {
        "candidate": ["batch_size", "power_limit"],
        "energy": "energy_to_accuracy_j",
        "known_after_first": True,
        # a few steps tell what an epoch takes, as the paper's profiling of power limits does
        "known_before_training": ["energy_per_epoch_j", "time_per_epoch_s"],
        "cost": "try_j",
        "fidelities": [
            {"error": "time_to_accuracy_s", "seeds": seen, "share": 1.0, "best": longest}
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{dataset}_{gpu}.parquet"
        frame.to_parquet(path)
        path.with_suffix(".yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
        table = read_table(path)
    allowed = frame[frame.batch_size <= max(JOBS[dataset].batch_size, frame.batch_size.min())]
    usual = allowed.sort_values(["batch_size", "power_limit"]).iloc[-1]
    return Workload(
        name=f"{dataset} on {gpu}",
        table=table,
        joules=frame.energy_to_accuracy_j.to_numpy(),
        seconds=frame.time_to_accuracy_s.to_numpy(),
        try_joules=frame.try_j.to_numpy(),
        default=int(usual.name),
    )


# --- one search ----------------------------------------------------------------------------------


class Found(NamedTuple):
    """What one search found and paid.

    Attributes:
        saved: Share of the default's joules that the pair it found saves from then on.
        faster: Share of the default's time that it saves.
        paid: Joules of all tries, in trainings with the default.
        tries: How many there were.
        paid_to_best: What was paid until a pair near the best one was found; infinity: never.
        pays_back: After how many more trainings the search has paid for itself; infinity: never.
        regret: Share of the hypervolume of time and log energy that all its tries miss.
    """

    saved: float
    faster: float
    paid: float
    tries: int
    paid_to_best: float
    pays_back: float
    regret: float


def search(work: Workload, method: str, seed: int, budget: float) -> Found:
    """Return what a method finds for so many trainings with the default, in joules."""
    usual = work.joules[work.default]
    in_units = usual / work.try_joules.mean()
    replay = Replay(work.table, seed, budget * in_units)
    METHODS[method](replay)
    watts = work.joules / work.seconds
    rows = [one.row for one in replay.bought]
    seen = np.array([one.error * watts[one.row] for one in replay.bought])
    found = rows[int(np.argmin(seen))]
    paid = np.cumsum([one.cost / in_units for one in replay.bought])
    near = np.flatnonzero(work.joules[rows] <= NEAR * work.joules[work.best])
    saved = 1.0 - work.joules[found] / usual
    extra = float(paid[-1]) - len(rows)
    return Found(
        saved=float(saved),
        faster=float(1.0 - work.seconds[found] / work.seconds[work.default]),
        paid=float(paid[-1]),
        tries=len(rows),
        paid_to_best=float(paid[near[0]]) if len(near) else math.inf,
        pays_back=0.0 if extra <= 0 else (extra / float(saved) if saved > 0 else math.inf),
        regret=replay.regrets[-1][1],
    )


def summary(method: str, found: list[Found]) -> dict[str, Any]:
    """Return medians over the seeds; None where there is none."""
    middle = {name: statistics.median(getattr(o, name) for o in found) for name in Found._fields}
    return {
        "method": method,
        **{name: round(each, 4) if math.isfinite(each) else None for name, each in middle.items()},
    }


# --- what is asked for ---------------------------------------------------------------------------


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the two traces")
    parser.add_argument("--gpus", nargs="+", default=["v100"])
    parser.add_argument("--workloads", nargs="+", choices=list(JOBS), default=list(JOBS))
    usual = ["default", "random", "optuna-default", "optuna-nsga2"]
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=usual)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=20.0, help="trainings with the default")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    if options.seeds < 1 or not options.budget > 0:
        parser.error("--seeds and --budget must be more than 0")
    return options


def _run(options: argparse.Namespace) -> None:
    paths = [options.data / f"zeus_{kind}.parquet" for kind in ("train", "power")]
    absent = [str(path) for path in paths if not path.is_file()]
    if absent:
        raise TableError(f"there is no {' and no '.join(absent)}")
    train, power = (pd.read_parquet(path) for path in paths)
    out = sys.stderr if options.json else sys.stdout
    results = []
    for gpu in options.gpus:
        for dataset in options.workloads:
            work = workload(train, power, dataset, gpu)
            results.append(_compare(work, options))
            print(_lines(results[-1]), file=out, flush=True)
    if options.json:
        print(json.dumps({"budget": options.budget, "workloads": results}, allow_nan=False))


def _compare(work: Workload, options: argparse.Namespace) -> dict[str, Any]:
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    best, usual = work.best, work.default
    return {
        "workload": work.name,
        "pairs": len(work.joules),
        "default": {**_pair(work, usual), "joules": float(work.joules[usual])},
        "best": {
            **_pair(work, best),
            "joules": float(work.joules[best]),
            "saved": float(1.0 - work.joules[best] / work.joules[usual]),
        },
        "methods": [
            summary(method, [search(work, method, seed, options.budget) for seed in seeds])
            for method in expanded(options.methods)
        ],
    }


def _pair(work: Workload, row: int) -> dict[str, Any]:
    one = work.table.candidates[row]
    return {"batch_size": one["batch_size"], "power_limit_w": one["power_limit"]}


def _lines(result: dict[str, Any]) -> str:
    usual, best = result["default"], result["best"]
    lines = [
        f"{result['workload']}: {result['pairs']} pairs; default batch {usual['batch_size']} at "
        f"{usual['power_limit_w']} W needs {usual['joules']:.3g} J; best is batch "
        f"{best['batch_size']} at {best['power_limit_w']} W: {best['saved']:.1%} less",
        f"  {'method':<16} {'saves':>7} {'faster':>7} {'tries':>6} {'paid':>6} {'to best':>8} "
        f"{'pays back after':>16}",
    ]
    for row in result["methods"]:
        cells = [
            f"{row['saved']:>7.1%} {row['faster']:>7.1%} {row['tries']:>6.0f} {row['paid']:>6.1f}",
            *(f"{'-' if v is None else f'{v:.1f}':>{w}}" for v, w in _open(row)),
        ]
        lines.append(f"  {row['method']:<16} {' '.join(cells)}")
    return "\n".join(lines)


def _open(row: dict[str, Any]) -> list[tuple[float | None, int]]:
    return [(row["paid_to_best"], 8), (row["pays_back"], 16)]


def main() -> None:
    try:
        _run(_options())
    except TableError as problem:
        print(f"zeus.py: {problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

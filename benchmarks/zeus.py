"""Batch size and GPU power limit as hyperparameters: joules until a target accuracy is reached.

    python benchmarks/zeus.py --data DIR [--gpus v100 ...] [--workloads cifar100 ...]
        [--methods NAME ...] [--seeds 10] [--first-seed 0] [--budget 20] [--json]

Replays searches on the traces of Zeus (You, Chung and Chowdhury, NSDI 2023, arXiv 2208.06102):
`zeus_train.parquet` says after how many epochs runs with a batch size reached a target,
`zeus_power.parquet` how many seconds and watts an epoch takes at each batch size and power limit of
a GPU. Energy to accuracy is epochs times joules per epoch, time to accuracy epochs times seconds.

A search tries one pair after the other, and sees time and joules of one run of it. Each try is a
training and pays its joules; one that does not reach the target pays until its last epoch, and
counts as twice as long, because it has to be started again. A search takes the pair with the fewest
joules it has seen, or stays with the default where none needed fewer. It ends when its budget is
spent, within a run if need be. What it found is compared with what is done without a search: the
default batch size at the highest power limit; and with the best pair there is. As in the paper,
jobs recur. Tries that reach the target are jobs done, so a search has cost what it paid beyond as
many trainings with the default; what later ones save pays that back. Pairs are judged by all their
runs: all joules per run that reached the target.

``default`` knows seconds and joules per epoch of each pair before it tries it, from a few steps, as
the paper's profiling of power limits does; those steps are not on the bill. Methods have two
objectives, time and joules, but for ``optuna-tpe-joules``, which looks at joules alone.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
import yaml
from numpy.typing import NDArray
from replay_clock import Replay
from replay_columns import TableError
from replay_methods import METHODS, expanded, optuna_method
from replay_tables import Table, read_table

from ecoautoml.study.environment import environment

EARLIER = (5, 10)
"""Trainings with the default after which a search is looked at, too."""
NEAR = 1.05
"""A pair this much dearer than the best one is as good as found."""
RESTART = 2.0
"""How often its own joules a run that failed is taken to cost, until the target is reached."""
ALL_METHODS = {
    **METHODS,
    "optuna-tpe-joules": optuna_method(
        lambda seed: optuna.samplers.TPESampler(seed=seed), only_energy=True
    ),
}

Floats = NDArray[np.float64]


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
        watts: Mean of an epoch, ``(n,)``.
        runs: Seconds of each pair's runs, and which of them reached the target; ``n`` of both.
        default: Row of the default batch size at the highest power limit.
    """

    name: str
    table: Table
    joules: Floats
    seconds: Floats
    watts: Floats
    runs: tuple[tuple[Floats, NDArray[np.bool_]], ...]
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
    used = used[used.batch_size.isin(epochs.index.get_level_values("batch_size"))]
    if len(used) < 2:
        raise TableError(f"there is no trace of {dataset} on {gpu}")
    rows = []
    for one in used.itertuples():
        these = epochs.loc[one.batch_size].to_numpy(dtype=float)
        has_reached = these <= job.epochs  # NaN: never
        paid = np.where(has_reached, these, float(job.epochs))
        per_job = paid.sum() / max(int(has_reached.sum()), 1)
        rows.append(
            {
                "batch_size": one.batch_size,
                "power_limit": one.power_limit,
                "time_per_epoch_s": one.time_per_epoch,
                "energy_per_epoch_j": one.energy_per_epoch_j,
                "time_to_accuracy_s": per_job * one.time_per_epoch,
                "energy_to_accuracy_j": per_job * one.energy_per_epoch_j,
                "run_s": paid * one.time_per_epoch,
                "has_reached": has_reached,
            }
        )
    return pd.DataFrame(rows)


def workload(train: pd.DataFrame, power: pd.DataFrame, dataset: str, gpu: str) -> Workload:
    """Return a job on a GPU as a table that searches can be replayed on."""
    frame = joined(train, power, dataset, gpu)
    longest = float(frame.time_to_accuracy_s.max())
    about = {
        "candidate": ["batch_size", "power_limit"],
        "energy": "energy_to_accuracy_j",
        "known_after_first": True,
        "known_before_training": ["energy_per_epoch_j", "time_per_epoch_s"],
        "fidelities": [{"error": "time_to_accuracy_s", "share": 1.0, "best": longest}],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.parquet"  # no name of a data set, from which classes are told
        frame.drop(columns=["run_s", "has_reached"]).to_parquet(path)
        path.with_suffix(".yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
        table = read_table(path)
    assert len(table.candidates) == len(frame), "a pair was left out"
    allowed = frame[frame.batch_size <= max(JOBS[dataset].batch_size, frame.batch_size.min())]
    usual = allowed.sort_values(["batch_size", "power_limit"]).iloc[-1]
    return Workload(
        name=f"{dataset} on {gpu}",
        table=table,
        joules=frame.energy_to_accuracy_j.to_numpy(),
        seconds=frame.time_to_accuracy_s.to_numpy(),
        watts=(frame.energy_per_epoch_j / frame.time_per_epoch_s).to_numpy(),
        runs=tuple(zip(frame.run_s, frame.has_reached, strict=True)),
        default=int(usual.name),
    )


# --- one search ----------------------------------------------------------------------------------


class Runs(NamedTuple):
    """One run of each pair, ``(n,)`` each.

    Attributes:
        seconds: Until the target, as a search takes it to be; `RESTART` times those of a run that
            did not reach it.
        joules: The same.
        paid_joules: Of the run itself.
        has_reached: Whether it reached the target.
    """

    seconds: Floats
    joules: Floats
    paid_joules: Floats
    has_reached: NDArray[np.bool_]


def one_run_each(work: Workload, seed: int) -> Runs:
    """Return which run of each pair a search sees."""
    rng = np.random.default_rng([seed, 2])
    drawn = [int(rng.integers(len(run_s))) for run_s, _ in work.runs]
    paid_s = np.array([run_s[i] for i, (run_s, _) in zip(drawn, work.runs, strict=True)])
    has_reached = np.array([one[i] for i, (_, one) in zip(drawn, work.runs, strict=True)])
    seconds = np.where(has_reached, paid_s, RESTART * paid_s)
    return Runs(seconds, seconds * work.watts, paid_s * work.watts, has_reached)


class Found(NamedTuple):
    """What one search found and paid.

    Attributes:
        saved_at_5: Share of the default's joules that the best pair it had seen after the joules of
            5 trainings with the default saves; 0 before the first try has ended.
        saved_at_10: The same after 10.
        saved: The same at its end.
        faster: Share of the default's time that it saves.
        paid: Joules of all tries, in trainings with the default.
        paid_j: Joules of all tries.
        tries: How many came to their end.
        paid_to_best: What was paid until a pair near the best one was found, in trainings with the
            default; infinity: never.
        pays_back: After how many more trainings the search has paid for itself; infinity: never.
    """

    saved_at_5: float
    saved_at_10: float
    saved: float
    faster: float
    paid: float
    paid_j: float
    tries: int
    paid_to_best: float
    pays_back: float


def search(work: Workload, method: str, seed: int, budget: float) -> Found:
    """Return what a method finds for so many trainings with the default, in joules."""
    usual, runs = work.joules[work.default], one_run_each(work, seed)
    replay = Replay(_as_seen(work, runs), seed, budget * usual / runs.paid_joules.mean())
    ALL_METHODS[method](replay)
    return outcome(work, runs, [one.row for one in replay.bought], budget)


def _as_seen(work: Workload, runs: Runs) -> Table:
    """Return a workload's table with one run of each pair in place of the mean of all."""
    per_second = work.table.errors[-1] / work.seconds
    return replace(
        work.table,
        energy=runs.joules,
        seeds=((runs.seconds * per_second)[None],),
        costs=(runs.paid_joules / runs.paid_joules.mean())[None],
    )


def outcome(work: Workload, runs: Runs, rows: list[int], budget: float) -> Found:
    """Return what comes of trying pairs, by their row, in this order, until a budget is spent.

    The run in which it is spent is cut there, and was for nothing.
    """
    usual = work.joules[work.default]
    paid = np.cumsum(runs.paid_joules[rows]) / usual
    rows, spent = rows[: int((paid <= budget).sum())], min(float(paid[-1]), budget)
    near = np.flatnonzero(work.joules[rows] <= NEAR * work.joules[work.best])
    found = _best_seen(work, runs, rows)
    saved = float(1.0 - work.joules[found] / usual)
    extra = spent - float(runs.has_reached[rows].sum())
    earlier = (_best_seen(work, runs, rows[: int((paid <= at).sum())]) for at in EARLIER)
    return Found(
        *(float(1.0 - work.joules[row] / usual) for row in earlier),
        saved=saved,
        faster=float(1.0 - work.seconds[found] / work.seconds[work.default]),
        paid=spent,
        paid_j=float(spent * usual),
        tries=len(rows),
        paid_to_best=float(paid[near[0]]) if len(near) else math.inf,
        pays_back=0.0 if extra <= 0 else (extra / saved if saved > 0 else math.inf),
    )


def _best_seen(work: Workload, runs: Runs, rows: list[int]) -> int:
    """Return the pair with the fewest joules seen; the default, unless one needed fewer."""
    best = min(rows, key=lambda row: runs.joules[row], default=work.default)
    return best if runs.joules[best] < work.joules[work.default] else work.default


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
    usual = ["default", "random", "optuna-default", "optuna-tpe-joules", "optuna-nsga2"]
    parser.add_argument("--methods", nargs="+", choices=list(ALL_METHODS), default=usual)
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
    means = [_means(results, method) for method in expanded(options.methods)]
    print(f"mean of {len(results)} workloads", _head(), *map(_line, means), sep="\n", file=out)
    if options.json:
        about = {"environment": environment("cpu", (), 0), "budget": options.budget}
        found = {**about, "seeds": options.seeds, "means": means, "workloads": results}
        print(json.dumps(found, allow_nan=False))


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


def _means(results: list[dict[str, Any]], method: str) -> dict[str, Any]:
    """Return a method's figures averaged over workloads; of what not all have, how many have it."""
    rows = [row for one in results for row in one["methods"] if row["method"] == method]
    found: dict[str, Any] = {"method": method, "workloads": len(rows)}
    for name in Found._fields:
        known = [row[name] for row in rows if row[name] is not None]
        found[name] = round(statistics.mean(known), 4) if len(known) == len(rows) else None
        if name in ("paid_to_best", "pays_back"):
            found[f"n_{name}"] = len(known)
    return found


def _lines(result: dict[str, Any]) -> str:
    usual, best = result["default"], result["best"]
    return "\n".join(
        [
            f"{result['workload']}: {result['pairs']} pairs; default batch {usual['batch_size']} "
            f"at {usual['power_limit_w']} W needs {usual['joules']:.3g} J; best is batch "
            f"{best['batch_size']} at {best['power_limit_w']} W: {best['saved']:.1%} less",
            _head(),
            *map(_line, result["methods"]),
        ]
    )


def _head() -> str:
    return (
        f"  {'method':<18} {'saves at 5':>10} {'at 10':>7} {'in all':>7} {'faster':>7} "
        f"{'tries':>6} {'paid':>6} {'to best':>8} {'pays back after':>16}"
    )


def _line(row: dict[str, Any]) -> str:
    cells = [
        f"{row['saved_at_5']:>10.1%} {row['saved_at_10']:>7.1%} {row['saved']:>7.1%}",
        f"{row['faster']:>7.1%} {row['tries']:>6.0f} {row['paid']:>6.1f}",
        *(f"{'-' if v is None else f'{v:.1f}':>{w}}" for v, w in _open(row)),
    ]
    return f"  {row['method']:<18} {' '.join(cells)}"


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

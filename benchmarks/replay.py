"""Searches replayed on tables of finished trainings: what each method pays for a good front.

    python benchmarks/replay.py --table FILE [--energy COL] [--methods NAME ...] [--seeds 10]
        [--budget 100] [--json] [--page FILE]

The table is described by a YAML file (`benchmarks/tables`, or beside it). A method pays for every
training it asks for, also for short ones, in units of one mean full training; the same again is
free. Its *regret* is the share of the true front's hypervolume (validation error x log energy) that
its full trainings miss: it sees one training of each candidate, and is scored by the mean of all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import plotly.graph_objects as go
from replay_methods import METHODS, Replay
from replay_tables import read_table

TARGETS = (0.1, 0.05, 0.02, 0.01)
MOMENTS = (5, 10, 20, 50, 100)


class Outcome(NamedTuple):
    """One method with one seed: regret after each full training, trainings, ms per proposal."""

    regrets: list[tuple[float, float]]
    n_full: int
    proposal_ms: float | None
    seconds: float


def replay_once(path: Path, energy: str | None, method: str, seed: int, budget: float) -> Outcome:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    replay = Replay(read_table(path, energy=energy), seed, budget)
    started_s = time.perf_counter()
    METHODS[method](replay)
    proposal_ms = 1e3 * replay.thinking_s / replay.proposals if replay.proposals else None
    seconds = time.perf_counter() - started_s
    return Outcome(replay.regrets, len(replay.trained), proposal_ms, seconds)


def reached(outcome: Outcome, target: float) -> float:
    """Return the units paid when the regret was first no more than the target; else infinity."""
    return next((spent for spent, regret in outcome.regrets if regret <= target), math.inf)


def regret_at(outcome: Outcome, units: float) -> float:
    return min((regret for spent, regret in outcome.regrets if spent <= units), default=1.0)


def summary(method: str, outcomes: Sequence[Outcome], budget: float) -> dict[str, Any]:
    times = [one.proposal_ms for one in outcomes if one.proposal_ms is not None]
    units = {target: [reached(one, target) for one in outcomes] for target in TARGETS}
    return {
        "method": method,
        "seeds": len(outcomes),
        "trainings_to_regret": {str(t): _finite(statistics.median(u)) for t, u in units.items()},
        "quartiles": {str(t): [_finite(q) for q in _quartiles(u)] for t, u in units.items()},
        "regret_at": {
            str(moment): statistics.median(regret_at(one, moment) for one in outcomes)
            for moment in MOMENTS
            if moment <= budget
        },
        "full_trainings": statistics.median(one.n_full for one in outcomes),
        "proposal_ms": statistics.median(times) if times else None,
    }


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the values that a quarter and three quarters of all do not exceed."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 4], ordered[math.ceil(3 * (len(ordered) - 1) / 4)]


def _finite(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def page(found: dict[str, list[Outcome]], title: str, budget: float) -> go.Figure:
    """Return the medians of regret over units paid, both on log scales."""
    units = np.geomspace(1.0, budget, 200)
    figure = go.Figure()
    for method, outcomes in found.items():
        regrets = [[regret_at(one, unit) for one in outcomes] for unit in units]
        middle = [statistics.median(each) for each in regrets]
        figure.add_scatter(x=units, y=middle, name=method, mode="lines")
    figure.update_xaxes(type="log", title="paid, in full trainings")
    figure.update_yaxes(type="log", title="regret (share of the hypervolume missing)")
    figure.update_layout(title=title, template="plotly_white")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--energy", help="column of the energy, instead of the description's")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=100.0)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--page", type=Path, help="write regret over units as a page")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    read_table(options.table, energy=options.energy)  # what is wrong with it is said once
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    out = sys.stderr if options.json else sys.stdout
    print(f"{'method':<16} {'to 10 %':>8} {'5 %':>7} {'2 %':>7} {'1 %':>7} {'ms':>7}", file=out)
    found: dict[str, list[Outcome]] = {}
    rows = []
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for method in options.methods:
            tasks = [
                pool.submit(
                    replay_once, options.table, options.energy, method, seed, options.budget
                )
                for seed in seeds
            ]
            found[method] = [task.result() for task in tasks]
            row = summary(method, found[method], options.budget)
            rows.append(row)
            units = [row["trainings_to_regret"][str(target)] for target in TARGETS]
            cells = [f"{'-' if unit is None else format(unit, '.1f'):>7}" for unit in units]
            print(f"{method:<16}  {' '.join(cells)} {row['proposal_ms'] or 0:7.1f}", file=out)
            out.flush()
    if options.page:
        page(found, options.table.stem, options.budget).write_html(options.page)
    if options.json:
        print(json.dumps({"table": options.table.stem, "budget": options.budget, "methods": rows}))


if __name__ == "__main__":
    main()

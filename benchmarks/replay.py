"""Searches replayed on tables of finished trainings: what each method pays for a good front.

    python benchmarks/replay.py --table FILE [--objective COL] [--energy COL]
        [--fidelities COL[:SHARE] ...] [--where COL=VALUE ...] [--methods NAME ...] [--seeds 10]
        [--first-seed 0] [--budget 100] [--misled] [--json] [--page FILE]

The table is described by a YAML file (`benchmarks/tables`, or beside it); what that leaves open is
told by the names of its columns, and said on standard error. A method pays for every training it
asks for, also for short ones, in units of one mean full training; the same again is free. Its
*regret* is the share of the true front's hypervolume (error x log energy) that its full trainings
miss: it sees one training of each candidate, and is scored by the mean of all. With `--misled`
short trainings tell nothing: the acid test of what relies on them.
"""

from __future__ import annotations

import argparse
import json
import math
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: every seed has a process of its own

import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from replay_clock import Replay
from replay_columns import TableError
from replay_methods import GROUPS, METHODS, expanded
from replay_page import curve_info, figure
from replay_rivals import RIVALS, missing
from replay_tables import Table, misled, read_table

TARGETS = (0.1, 0.05, 0.02, 0.01)
MOMENTS = (5, 10, 20, 50, 100)


class Outcome(NamedTuple):
    """One method with one seed.

    Attributes:
        regrets: What was paid, and the regret then, after each full training.
        n_full: How many full trainings there were.
        n_stopped: Candidates that were looked at and not trained in full.
        n_wrongly_stopped: Those of them that would have added to the front.
        proposal_ms: Mean time to choose; None: the method does not think.
        seconds: What the replay took.
    """

    regrets: list[tuple[float, float]]
    n_full: int
    n_stopped: int
    n_wrongly_stopped: int
    proposal_ms: float | None
    seconds: float


def replay_once(
    path: Path, stated: dict[str, Any], is_misled: bool, method: str, seed: int, budget: float
) -> Outcome:
    table = read_table(path, **stated)
    replay = Replay(misled(table) if is_misled else table, seed, budget)
    started_s = time.perf_counter()
    METHODS[method](replay)
    return Outcome(
        replay.regrets,
        len(replay.trained),
        len(replay.stopped()),
        len(replay.wrongly_stopped()),
        1e3 * replay.thinking_s / replay.proposals if replay.proposals else None,
        time.perf_counter() - started_s,
    )


def reached(outcome: Outcome, target: float) -> float:
    """Return the units paid when the regret was first no more than the target; else infinity."""
    return next((spent for spent, regret in outcome.regrets if regret <= target), math.inf)


def regret_at(outcome: Outcome, units: float) -> float:
    return min((regret for spent, regret in outcome.regrets if spent <= units), default=1.0)


def summary(method: str, outcomes: Sequence[Outcome], budget: float) -> dict[str, Any]:
    """Return one method's figures: medians over its seeds, None where they are unknown."""
    times = [one.proposal_ms for one in outcomes if one.proposal_ms is not None]
    units = {target: [reached(one, target) for one in outcomes] for target in TARGETS}
    rates = [one.n_wrongly_stopped / one.n_stopped for one in outcomes if one.n_stopped]
    n_stopped = sum(one.n_stopped for one in outcomes)
    n_wrongly = sum(one.n_wrongly_stopped for one in outcomes)
    return {
        "method": method,
        "seeds": len(outcomes),
        "trainings_to_regret": {str(t): _finite(statistics.median(u)) for t, u in units.items()},
        "quartiles": {str(t): [_finite(q) for q in _quartiles(u)] for t, u in units.items()},
        "interquartile_range": {str(t): _range(*_quartiles(u)) for t, u in units.items()},
        "reached_by": {str(t): sum(map(math.isfinite, u)) for t, u in units.items()},
        "regret_at": {
            str(moment): statistics.median(regret_at(one, moment) for one in outcomes)
            if moment <= budget
            else None
            for moment in MOMENTS
        },
        "wrongly_stopped": statistics.median(rates) if rates else None,
        "wrongly_stopped_of_all": n_wrongly / n_stopped if n_stopped else None,
        "stopped": statistics.median(one.n_stopped for one in outcomes),
        "full_trainings": statistics.median(one.n_full for one in outcomes),
        "proposal_ms": statistics.median(times) if times else None,
    }


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the values that a quarter and three quarters of all do not exceed."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 4], ordered[math.ceil(3 * (len(ordered) - 1) / 4)]


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _range(low: float, high: float) -> float | None:
    return _finite(high - low) if math.isfinite(high) else None


# --- what is asked for ---------------------------------------------------------------------------


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help="Parquet or CSV")
    parser.add_argument("--objective", metavar="COL", help="score or error of a full training")
    parser.add_argument("--energy", metavar="COL", help="what the front is drawn over")
    parser.add_argument(
        *("--fidelities",),
        nargs="+",
        metavar="COL[:SHARE]",
        help="scores from the shortest to the full training; or the column that says how long each "
        "row was trained, and which of its values count",
    )
    parser.add_argument("--where", nargs="+", metavar="COL=VALUE", help="only these rows")
    parser.add_argument(
        *("--methods",),
        nargs="+",
        metavar="NAME",
        default=["all"],
        help=f"all, or some of {', '.join([*METHODS, *GROUPS])}",
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=100.0, help="mean full trainings")
    parser.add_argument(
        "--misled", action="store_true", help="shorter trainings show those of other candidates"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--page", type=Path, help="write regret over units as a page")
    options = parser.parse_args()
    if options.seeds < 1 or options.workers < 1 or not options.budget > 0:
        parser.error("--seeds, --workers and --budget must be more than 0")
    return options


def _stated(options: argparse.Namespace) -> dict[str, Any]:
    """Return the parts of a description that were given as options."""
    stated = {
        key: getattr(options, key) for key in ("objective", "energy") if getattr(options, key)
    }
    if options.fidelities:
        stated["fidelities"] = [
            part for each in options.fidelities for part in each.split(",") if part
        ]
    if options.where:
        pairs = [each.partition("=") for each in options.where]
        if any(not equals for _, equals, _ in pairs):
            raise TableError("--where wants COLUMN=VALUE")
        stated["where"] = {name: value for name, _, value in pairs}
    return stated


def _methods(wished: Sequence[str]) -> list[str]:
    """Return the methods that are to be replayed; of "all" those that are installed.

    Raises:
        TableError: There is no such method, or its package is not installed.
    """
    names = [name for each in wished for name in each.split(",") if name]
    unknown = [name for name in names if name not in {*METHODS, *GROUPS, "all"}]
    if unknown:
        known = ", ".join([*METHODS, *GROUPS, "all"])
        raise TableError(f"there is no method {unknown[0]}; there are {known}")
    found = expanded(names)
    for name in [each for each in found if each in RIVALS]:
        reason = missing(name)
        if reason is None:
            continue
        if name in names:
            raise TableError(reason)
        print(f"left out: {reason}", file=sys.stderr)
        found.remove(name)
    return found


# --- running -------------------------------------------------------------------------------------


def _run(options: argparse.Namespace, stated: dict[str, Any], methods: Sequence[str]) -> None:
    table = read_table(options.table, **stated)
    for note in table.notes:
        print(f"{table.name}: {note}", file=sys.stderr)
    out = sys.stderr if options.json else sys.stdout
    print(f"{'method':<16} {'to 10 %':>8} {'5 %':>7} {'2 %':>7} {'1 %':>7} {'ms':>7}", file=out)
    found: dict[str, list[Outcome]] = {}
    rows = []
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with ProcessPoolExecutor(max_workers=min(options.workers, len(seeds))) as pool:
        for method in methods:
            tasks = [
                pool.submit(
                    *(replay_once, options.table, stated, options.misled),
                    *(method, seed, options.budget),
                )
                for seed in seeds
            ]
            found[method] = [task.result() for task in tasks]
            rows.append(summary(method, found[method], options.budget))
            print(_line(rows[-1]), file=out, flush=True)
    if options.page:
        options.page.write_text(_page(found, table, options.budget), encoding="utf-8")
    if options.json:
        about = {"table": table.name, "unit": f"mean {table.unit}", "budget": options.budget}
        print(json.dumps({**about, "methods": rows}, allow_nan=False))


def _line(row: dict[str, Any]) -> str:
    units = [row["trainings_to_regret"][str(target)] for target in TARGETS]
    cells = [f"{'-' if unit is None else format(unit, '.1f'):>7}" for unit in units]
    return f"{row['method']:<16}  {' '.join(cells)} {row['proposal_ms'] or 0:7.1f}"


def _page(found: dict[str, list[Outcome]], table: Table, budget: float) -> str:
    least = min(
        (one.regrets[0][0] for outcomes in found.values() for one in outcomes if one.regrets),
        default=1.0,
    )
    curves = {
        method: curve_info(
            [partial(regret_at, one) for one in outcomes], min(max(least, 0.1), budget / 2), budget
        )
        for method, outcomes in found.items()
    }
    return str(figure(curves, table.name, table.unit).to_html(include_plotlyjs=True))


def main() -> None:
    options = _options()
    try:
        _run(options, _stated(options), _methods(options.methods))
    except TableError as problem:
        print(f"replay.py: {problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Rules that stop trials early, on real learning curves: what each saves, and what it loses.

    python benchmarks/stopping.py --data DIR [--alphas 0.01 0.05 0.1] [--seeds 10]
        [--improving 4] [--reports 30] [--json]

Reads ``accelnas_curves.parquet`` in DIR (columns ``benchmark``, ``curve``: a score or a perplexity
after each epoch, ``num_params``: null where it is not known). From each benchmark and for each seed
some trainings are drawn by chance and begun one after the other; a rule decides after every epoch,
from what has been seen so far. With ``--improving N`` later trainings are better, as in a search
that learns: each is what looks best, with a guess that is somewhat off, of ever more drawn by
chance. Where parameters are known, studies with two objectives (error and parameters) are replayed
beside those with one. Rules of the package are its own objects, and see what the loop of a search
lets them see.

Per rule, over all seeds: *saved*, the share of all epochs that was not trained; *wrong*, the share
of the stopped that would have beaten the best finished model no larger, as of the stop; *at end*,
the share of the stopped that would be on the front of everything; *lost*, the share of that front
that was stopped; *regret*, the share of its hypervolume that is missing. For rules with a control
group, the epochs of which are paid for: its wrong ones, the interval of their share (95 %), and how
often a study's interval *held* the share of wrong ones among its stopped trials.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from stopping_rules import PEERS, Array, Rule, Seen, Study, chance

from ecoautoml.pareto.front import non_dominated_mask
from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.records.progress import Action
from ecoautoml.strategies.calibration import Calibration
from ecoautoml.study.environment import environment

TABLE = "accelnas_curves.parquet"
TUNED_ON = ("metaqnn_cifar10", "deep_resnets_tinyimagenet", "lstm_ptb")
"""Benchmarks that settings of the rules were chosen on; the others were looked at in the end."""
VOCABULARY = 10_000
"""Words of the Penn Treebank: guessing has their number as perplexity."""
GUESS_NOISE = 0.15
"""How far a search that improves is off in what it expects, in shares of all trainings."""
WORST_QUANTILE = 0.9
"""Of the errors of a study: beyond it nothing counts for the hypervolume."""


class Curves(NamedTuple):
    """All trainings of one benchmark: errors ``(n, n_epochs)``, parameters ``(n,)`` or None."""

    errors: Array
    params: Array | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How studies are replayed.

    Attributes:
        trials: Per study.
        at_once: Trials that run at the same time.
        control: Share of would-be-stopped trials that run on, where a rule has a control group.
        reports: Per training, at most.
        improving: The last trial is about the best of 1 + this many drawn by chance; 0: the order
            is that of chance.
    """

    trials: int
    at_once: int
    control: float
    reports: int
    improving: float


class Outcome(NamedTuple):
    """One study under one rule."""

    epochs: int
    spent: int
    stopped: int
    wrong: int
    wrong_at_end: int
    front: int
    regret: float
    control: Calibration


def read_curves(path: Path, reports: int) -> dict[str, Curves]:
    """Return the trainings by benchmark, longer ones at evenly spaced epochs up to the last.

    A perplexity becomes its share of the log of guessing: cross entropy, as an error within [0, 1].
    """
    found = {}
    for name, rows in pd.read_parquet(path).groupby("benchmark"):
        curves = np.stack([np.asarray(curve, dtype=np.float64) for curve in rows["curve"]])
        is_perplexity = curves.max() > 1
        errors = np.log(curves) / math.log(VOCABULARY) if is_perplexity else 1.0 - curves
        every = math.ceil(errors.shape[1] / reports)
        params = rows["num_params"].to_numpy(dtype=np.float64)
        found[str(name)] = Curves(
            errors[:, ::-1][:, ::every][:, ::-1], None if np.isnan(params).any() else params
        )
    return found


def studies(curves: Curves, plan: Plan, seed: int) -> Iterable[Study]:
    """Yield one study per set of objectives, with the same trainings."""
    drawn = _drawn(curves.errors[:, -1], plan, np.random.default_rng(seed))
    if curves.params is not None:
        yield Study(errors=curves.errors[drawn], costs=curves.params[drawn])
    yield Study(errors=curves.errors[drawn], costs=None)


def _drawn(finals: Array, plan: Plan, chance: np.random.Generator) -> list[int]:
    """Return trainings in the order in which a search begins them."""
    left = chance.permutation(len(finals)).tolist()
    places = finals.argsort().argsort() / len(finals)  # 0 is the best
    drawn = []
    for number in range(min(plan.trials, len(finals))):
        among = left[: 1 + round(plan.improving * number / plan.trials)]
        guesses = [places[one] + chance.normal(0, GUESS_NOISE) for one in among]
        drawn.append(among[int(np.argmin(guesses))])
        left = [one for one in left if one not in among] or [
            one for one in left if one != drawn[-1]
        ]
    return drawn


def replay(study: Study, rule: Rule, seed: int, at_once: int) -> Outcome:
    """Return what comes of a study under a rule."""
    seen = Seen(study=study, seed=seed)
    waiting, running = list(range(len(study.errors)))[::-1], []
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(waiting.pop())
            seen.reached[running[-1]] = 0
        for trial in tuple(running):
            if not _goes_on(trial, seen, rule):
                running.remove(trial)
    return _outcome(study, seen)


def _goes_on(trial: int, seen: Seen, rule: Rule) -> bool:
    """Train one more epoch; return whether another one follows."""
    seen.reached[trial] += 1
    if seen.reached[trial] == seen.study.epochs:
        seen.finished.append(trial)
        return False
    if trial in seen.watched:
        return True
    decision = rule(trial, seen)
    if decision.action is Action.CONTINUE and not decision.is_withheld:
        return True
    kept = seen.watched if decision.is_withheld else seen.stopped
    kept[trial] = (seen.reached[trial], seen.bound(trial))
    return decision.is_withheld


def _outcome(study: Study, seen: Seen) -> Outcome:
    front = non_dominated_mask(study.losses)
    return Outcome(
        epochs=study.errors.size,
        spent=sum(seen.reached.values()),
        stopped=len(seen.stopped),
        wrong=sum(int(study.finals[one] < bound) for one, (_, bound) in seen.stopped.items()),
        wrong_at_end=int(front[list(seen.stopped)].sum()),
        front=int(front.sum()),
        regret=_regret(study, seen.finished),
        control=seen.calibration(0.5),
    )


def _regret(study: Study, finished: Sequence[int]) -> float:
    """Return the share of the whole study's hypervolume that its finished trials miss."""
    losses = study.losses
    span = losses.max(axis=0) - losses.min(axis=0)
    reference = losses.max(axis=0) + 0.05 * span
    reference[0] = np.quantile(study.finals, WORST_QUANTILE)
    whole = hypervolume(losses, reference)
    return 1.0 - hypervolume(losses[list(finished)], reference) / whole if whole else 0.0


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of one rule on one benchmark, over all its studies."""
    stopped = sum(one.stopped for one in outcomes)
    groups = [one.control for one in outcomes]
    group = Calibration(
        alpha=0.5, controls=sum(g.controls for g in groups), wrong=sum(g.wrong for g in groups)
    )
    held = [_holds_truth(one) for one in outcomes if one.stopped and one.control.controls]
    return {
        "studies": len(outcomes),
        "saved": 1.0 - sum(one.spent for one in outcomes) / sum(one.epochs for one in outcomes),
        "stopped": stopped,
        "wrong": _share(sum(one.wrong for one in outcomes), stopped),
        "wrong_at_end": _share(sum(one.wrong_at_end for one in outcomes), stopped),
        "front_lost": _share(
            sum(one.wrong_at_end for one in outcomes), sum(one.front for one in outcomes)
        ),
        "regret": float(np.mean([one.regret for one in outcomes])),
        "controls": group.controls,
        "wrong_controls": group.wrong,
        "measured": group.rate,
        "interval": list(group.interval()) if group.controls else None,
        "interval_held_truth": _share(sum(held), len(held)),
    }


def _holds_truth(one: Outcome) -> bool:
    low, high = one.control.interval()
    return low <= one.wrong / one.stopped <= high


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


class Case(NamedTuple):
    """One rule to be replayed, and how it is made."""

    name: str
    make: Callable[[], Rule]


def cases(alphas: Sequence[float], without_control: Sequence[float], control: float) -> list[Case]:
    """Return all rules that are compared."""
    ours = [Case(f"auto {alpha:.3g}", partial(chance, alpha, control)) for alpha in alphas]
    ours += [
        Case(f"auto {alpha:.3g}, no control", partial(chance, alpha, 0.0))
        for alpha in without_control
    ]
    return ours + [Case(name, make) for name, make in PEERS.items()]


def replay_seed(curves: Curves, case: Case, plan: Plan, seed: int) -> list[Outcome]:
    """Return the outcome of each set of objectives."""
    return [replay(study, case.make(), seed, plan.at_once) for study in studies(curves, plan, seed)]


def means(rows: Sequence[Mapping[str, Any]], rule: str) -> dict[str, Any]:
    """Return a rule's figures averaged over benchmarks, each counted alike; and the worst one."""
    mine = [row for row in rows if row["rule"] == rule]
    figures = ("saved", "wrong", "wrong_at_end", "front_lost", "regret", "interval_held_truth")
    found: dict[str, Any] = {"rule": rule, "settings": len(mine)}
    for figure in figures:
        values = [row[figure] for row in mine if row[figure] is not None]
        found[figure] = float(np.mean(values)) if values else None
    wrongs = [row["wrong"] for row in mine if row["wrong"] is not None]
    found["worst_wrong"] = max(wrongs, default=None)
    return found


def line(row: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    cells = [f"{row['rule']:<22}"]
    cells += [
        f"{'-' if row[name] is None else format(100 * row[name], '.2f'):>8}"
        for name in ("saved", "wrong", "wrong_at_end", "front_lost", "regret")
    ]
    if row.get("controls"):
        low, high = row["interval"]
        cells.append(f"{row['wrong_controls']:>4} of {row['controls']:<4}")
        cells.append(f"{100 * low:5.2f} to {100 * high:5.2f}")
    held = row["interval_held_truth"]
    return " ".join(cells) + ("" if held is None else f" {100 * held:6.0f}")


HEAD = (
    f"{'% of':<22} {'saved':>8} {'wrong':>8} {'at end':>8} {'lost':>8} {'regret':>8} "
    f"{'control':>12} {'interval':>14} {'held':>6}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {TABLE}")
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.01, 0.05, 0.1])
    parser.add_argument(
        "--without-control", type=float, nargs="*", default=[0.05], help="alphas, once more without"
    )
    parser.add_argument("--benchmarks", nargs="+", help="some of the table's; all by default")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=80, help="per study")
    parser.add_argument("--at-once", type=int, default=1, help="trials that run at the same time")
    parser.add_argument("--control", type=float, default=0.1, help="share that runs on")
    parser.add_argument(
        "--improving", type=float, default=0.0, help="later trials are the best of 1 + this many"
    )
    parser.add_argument("--reports", type=int, default=100, help="per training, at most")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    out = sys.stderr if options.json else sys.stdout
    table = read_curves(options.data / TABLE, options.reports)
    plan = Plan(
        trials=options.trials,
        at_once=options.at_once,
        control=options.control,
        reports=options.reports,
        improving=options.improving,
    )
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    rows = []
    with ProcessPoolExecutor(max_workers=options.jobs) as pool:
        for name in options.benchmarks or table:
            for case in cases(options.alphas, options.without_control, options.control):
                work = partial(replay_seed, table[name], case, plan)
                by_objectives = zip(*pool.map(work, seeds), strict=True)
                for n_objectives, outcomes in zip(
                    _objectives(table[name]), by_objectives, strict=True
                ):
                    row = {"benchmark": name, "objectives": n_objectives, "rule": case.name}
                    rows.append(row | summary(outcomes))
            _print_benchmark(name, rows, out)
    parts = {"all": rows}
    parts["never tuned on"] = [row for row in rows if row["benchmark"] not in TUNED_ON]
    averages = {part: _averages(each) for part, each in parts.items() if each}
    for part, each in averages.items():
        print(f"\n{part}, mean over benchmarks; worst share wrong last\n{HEAD}", file=out)
        for row in each:
            print(f"{line(row)}   worst {100 * (row['worst_wrong'] or 0):.2f}", file=out)
    if options.json:
        about = {"environment": environment("cpu", (), 0), **vars(plan)}
        print(json.dumps({**about, "seeds": list(seeds), "rows": rows, "means": averages}))


def _objectives(curves: Curves) -> tuple[int, ...]:
    return (1,) if curves.params is None else (2, 1)


def _averages(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [means(rows, rule) for rule in dict.fromkeys(row["rule"] for row in rows)]


def _print_benchmark(name: str, rows: Sequence[Mapping[str, Any]], out: Any) -> None:
    for n_objectives in (2, 1):
        mine = [r for r in rows if (r["benchmark"], r["objectives"]) == (name, n_objectives)]
        if mine:
            print(f"\n{name}, objectives: {n_objectives}\n{HEAD}", file=out)
            print(*map(line, mine), sep="\n", file=out, flush=True)


if __name__ == "__main__":
    main()

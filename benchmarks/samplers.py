"""Whole searches with the same joules: the default beside samplers of Optuna, really run.

    python benchmarks/samplers.py --images FILE --out DIR [--samplers auto tpe nsga2]
        [--seeds 0 1 2] [--energy-wh 0.47] [--subset 10000] [--at-once 2]
        [--worst-errors 0.18 0.25] [--page FILE] [--json]

Runs `examples/02_own_images.yaml` on some of the images (a folder, Parquet or .npz) once for every
sampler and seed, with one worker each, until so many watt-hours are spent, everything included that
the search itself counts. `auto` has its own stopping, the others run every trial to its end. Given
again, the command resumes what was interrupted and reads what has ended.

Told is the hypervolume (validation error x log energy per image, as the searches themselves have
measured them) of the front, as a share of that of all fronts together; the reference is the largest
energy and the ninth decile of the errors of all models of the searches, and, with `--worst-errors`,
each of these errors: how far cheap, less accurate models count hangs on it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from replay_page import COLOURS

from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.records.trial_result import TrialState
from ecoautoml.result import SearchResult
from ecoautoml.study.environment import environment

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples/02_own_images.yaml"
SCORE, COST = "validation_accuracy", "inference_energy_j"
HEIGHT = 480
"""Of the figure, in px."""
WORST_QUANTILE = 0.9
"""Of all models' errors: beyond it nothing counts for the hypervolume."""


class Run(NamedTuple):
    """A search that has ended.

    Attributes:
        losses: Of its complete models: validation error, log energy, ``(n, 2)``.
        trials: How many were begun.
        energy_j: Joules of all its bill; None: unknown.
    """

    sampler: str
    seed: int
    losses: NDArray[np.float64]
    trials: int
    energy_j: float | None


def folder_of(out: Path, sampler: str, seed: int) -> Path:
    return out / f"{sampler}_{seed}"


def search(options: argparse.Namespace, sampler: str, seed: int) -> int:
    """Run a search, or what is left of it; return its exit code."""
    folder = folder_of(options.out, sampler, seed)
    if (folder / "report.html").exists():
        return 0
    settings = [
        *(f"data.path={options.images}", f"data.subset={options.subset}", f"seed={seed}"),
        *(f"output={options.out}", f"name={folder.name}", f"sampler={sampler}"),
        *("budget.trials=null", "budget.hours=null", f"budget.energy_wh={options.energy_wh}"),
        *("executor.workers=1", "training.patience=null"),
    ]
    if sampler != "auto":
        settings.append("pruner=none")
    command = [sys.executable, "-m", "ecoautoml", "search", str(EXAMPLE)]
    for one in settings:
        command += ["--set", one]
    if folder.exists():
        command.append("--resume")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{folder.name}: {(done.stderr or done.stdout).strip()[-500:]}", file=sys.stderr)
    return done.returncode


def read(out: Path, sampler: str, seed: int) -> Run:
    result = SearchResult.read(folder_of(out, sampler, seed))
    models = [one for one in result.results if one.state is TrialState.COMPLETE]
    losses = [[1.0 - one.metrics[SCORE], math.log(one.metrics[COST])] for one in models]
    return Run(
        sampler,
        seed,
        np.array(losses, dtype=np.float64).reshape(len(models), 2),
        len(result.results),
        result.bill.total_energy_j,
    )


def usual_worst_error(runs: Sequence[Run]) -> float:
    """Return the error beyond which nothing counts unless another is asked for."""
    return float(np.quantile(np.concatenate([one.losses[:, 0] for one in runs]), WORST_QUANTILE))


def shares(runs: Sequence[Run], worst_error: float) -> list[float]:
    """Return each run's hypervolume as a share of that of all together."""
    every = np.vstack([one.losses for one in runs])
    worst = np.array([worst_error, every[:, 1].max()])
    best = hypervolume(every, worst)
    return [hypervolume(one.losses, worst) / best for one in runs]


def figure(runs: Sequence[Run]) -> go.Figure:
    """Return the fronts of all runs, one colour per sampler."""
    drawn = go.Figure()
    samplers = list(dict.fromkeys(one.sampler for one in runs))
    for one in runs:
        front = one.losses[np.argsort(one.losses[:, 1])]
        front = front[front[:, 0] < np.r_[np.inf, np.minimum.accumulate(front[:-1, 0])]]
        drawn.add_scatter(
            x=1e6 * np.exp(front[:, 1]),
            y=1.0 - front[:, 0],
            mode="lines+markers",
            line={"shape": "hv", "color": COLOURS[samplers.index(one.sampler)]},
            name=one.sampler,
            legendgroup=one.sampler,
            showlegend=one.seed == min(each.seed for each in runs),
            hovertemplate=f"{one.sampler}, seed {one.seed}: %{{y:.4f}} at %{{x:.0f}} µJ",
        )
    drawn.update_layout(
        template="plotly_white", title="Fronts of searches with the same joules", height=HEIGHT
    )
    drawn.update_xaxes(type="log", title="Energy per image (µJ)")
    drawn.update_yaxes(title="Validation accuracy")
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the searches")
    parser.add_argument("--samplers", nargs="+", default=["auto", "tpe", "nsga2"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--energy-wh", type=float, default=0.47, help="of each search")
    parser.add_argument("--subset", type=int, default=10_000, help="images to learn from")
    parser.add_argument("--at-once", type=int, default=2, help="searches that run at the same time")
    parser.add_argument("--worst-errors", type=float, nargs="+", default=[], help="references")
    parser.add_argument("--page", type=Path, help="draw the fronts there")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    asked = [(sampler, seed) for seed in options.seeds for sampler in options.samplers]
    with ThreadPoolExecutor(options.at_once) as pool:
        codes = list(pool.map(lambda one: search(options, *one), asked))
    if any(codes):
        sys.exit("not all searches have ended; give the same command again to resume them")
    runs = [read(options.out, *one) for one in asked]
    worst_errors = [usual_worst_error(runs), *options.worst_errors]
    found = np.array([shares(runs, worst) for worst in worst_errors]).T
    rows = [
        {
            "sampler": run.sampler,
            "seed": run.seed,
            "hypervolume": [round(float(each), 4) for each in each_share],
            "trials": run.trials,
            "complete": len(run.losses),
            "energy_j": run.energy_j,
        }
        for run, each_share in zip(runs, found, strict=True)
    ]
    out = sys.stderr if options.json else sys.stdout
    print(f"references: errors of {', '.join(f'{one:.3g}' for one in worst_errors)}", file=out)
    for row in rows:
        print(
            "{sampler:<8} seed {seed}: {hypervolume} of the hypervolume, {complete} models of "
            "{trials} trials, {energy_j} J".format(**row),
            file=out,
        )
    medians = {}
    for sampler in options.samplers:
        these = [share for run, share in zip(runs, found, strict=True) if run.sampler == sampler]
        medians[sampler] = [round(float(each), 4) for each in np.median(these, axis=0)]
        print(f"{sampler:<8} medians {medians[sampler]}", file=out)
    if options.page:
        page = figure(runs).to_html(include_plotlyjs=True, config={"displayModeBar": False})
        options.page.write_text(page, encoding="utf-8")
    if options.json:
        about = environment("cpu", (), 0)
        about.pop("git_commit")
        print(
            json.dumps(
                {
                    "environment": about,
                    "energy_wh": options.energy_wh,
                    "subset": options.subset,
                    "worst_errors": worst_errors,
                    "medians": medians,
                    "runs": rows,
                }
            )
        )


if __name__ == "__main__":
    main()

"""Hand-made runs for the tests of reports."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.energy_reading import EnergyLine, Provenance
from ecoautoml.records.measurement import InferenceMeasurement
from ecoautoml.records.progress import Progress
from ecoautoml.records.trial_result import (
    Probe,
    TrialResult,
    TrialState,
)
from ecoautoml.reports.summary import RunSummary

ESTIMATED = Provenance.ESTIMATED
MEASURED = Provenance.MEASURED


def line(name, energy_j, provenance=ESTIMATED, duration_s=1.0):
    return EnergyLine(
        line=name,
        energy_j=energy_j,
        duration_s=duration_s,
        provenance=provenance if energy_j is not None else None,
        source="cpu_time:2.8 W/thread",
    )


def candidate(**architecture):
    values = {"width": 1.0, "depth": 2, **architecture}
    return Candidate(
        space="tiny",
        builder="timm",
        architecture=values,
        hyperparameters={"learning_rate": 0.003},
        runtime={"runtime": "onnx"},
    )


def inference(energy_j=0.002, provenance=ESTIMATED, latency_ms=1.5):
    known = energy_j is not None
    return InferenceMeasurement(
        batch_size=1,
        energy_j=energy_j,
        energy_low_j=0.97 * energy_j if known else None,
        energy_high_j=1.03 * energy_j if known else None,
        provenance=provenance if known else None,
        source="cpu_time:2.8 W/thread",
        latency_ms=latency_ms,
        latency_p95_ms=1.2 * latency_ms,
        n_blocks=8,
        is_precise=True,
    )


def probe(energy_j=0.002, provenance=ESTIMATED, latency_ms=1.5, params=10_000):
    return Probe(
        params=params,
        macs=50 * params,
        size_bytes=4 * params + 2_000,
        inference=inference(energy_j, provenance, latency_ms),
    )


def curve(number, epochs, last, total=10):
    """Reports after the probe and after each epoch, rising to ``last``."""
    reports = [Progress(trial=number, epoch=0, epochs=total, metrics={})]
    for epoch in range(1, epochs + 1):
        score = (
            last
            * (1 - 0.7 * math.exp(-3 * epoch / total))
            / (1 - 0.7 * math.exp(-3 * epochs / total))
        )
        reports.append(
            Progress(
                trial=number,
                epoch=epoch,
                epochs=total,
                metrics={"validation_accuracy": score},
                energy_j=epoch * 10.0,
            )
        )
    return tuple(reports)


def complete(
    number,
    accuracy,
    energy_j,
    *,
    provenance=ESTIMATED,
    latency_ms=1.5,
    params=10_000,
    parameters=None,
    **changes,
):
    measured = inference(energy_j, provenance, latency_ms)
    metrics = {
        "validation_accuracy": accuracy,
        "latency_ms": latency_ms,
        "params": float(params),
    }
    if energy_j is not None:
        metrics["inference_energy_j"] = energy_j
    result = TrialResult(
        number=number,
        state=TrialState.COMPLETE,
        candidate=candidate(**(parameters or {})),
        metrics=metrics,
        probe=probe(energy_j, provenance, latency_ms, params),
        inference=measured,
        energy=(line("probe", 5.0, provenance), line("training", 100.0, provenance)),
        curve=curve(number, 10, accuracy),
        duration_s=12.0,
        epochs=10,
    )
    return replace(result, **changes)


def pruned(number, accuracy=0.4, energy_j=0.004, epochs=3, **changes):
    result = TrialResult(
        number=number,
        state=TrialState.PRUNED,
        candidate=candidate(width=0.5),
        reason="forecast stays below trial 0",
        probe=probe(energy_j),
        energy=(line("probe", 5.0), line("training", 30.0)),
        curve=curve(number, epochs, accuracy),
        duration_s=4.0,
        epochs=epochs,
    )
    return replace(result, **changes)


def stopped(number, **changes):
    return pruned(number, state=TrialState.STOPPED, reason="budget of 2 Wh spent", **changes)


def infeasible(number, energy_j=0.1, latency_ms=9.0, **changes):
    result = TrialResult(
        number=number,
        state=TrialState.INFEASIBLE,
        candidate=candidate(width=4.0),
        reason="latency_ms <= 5 is violated: 9 ms",
        metrics={"latency_ms": latency_ms},
        constraints={"latency_ms <= 5": 0.8},
        probe=probe(energy_j, latency_ms=latency_ms),
        energy=(line("probe", 7.0),),
        duration_s=1.0,
    )
    return replace(result, **changes)


def failed(number, reason="the loss became NaN in epoch 2", **changes):
    result = TrialResult(
        number=number,
        state=TrialState.FAILED,
        candidate=candidate(),
        reason=reason,
        details="Traceback ...",
        energy=(line("training", 20.0),),
        duration_s=2.0,
    )
    return replace(result, **changes)


def reused(number, original):
    return replace(
        original,
        number=number,
        state=TrialState.REUSED,
        reused_from=original.number,
        reason=f"equal to trial {original.number}",
    )


def summary(objectives=("validation_accuracy", "inference_energy_j"), **changes):
    values = {"name": "digits", "objectives": objectives, "elapsed_s": 300.0, **changes}
    return RunSummary(**values)


def sample_run(n_trials=25, seed=0, provenance=ESTIMATED):
    """A run as a search would leave it: results and their summary."""
    rng = np.random.default_rng(seed)
    results = []
    for number in range(n_trials):
        size = float(rng.random())
        energy_j = 40e-6 * 10 ** (1.6 * size)
        params = int(6_000 * 10 ** (1.8 * size))
        best = 0.985 - 0.12 * math.exp(-4 * size) - abs(float(rng.normal(0, 0.025)))
        latency_ms = 0.2 * 10 ** (1.2 * size)
        shared = {"energy_j": energy_j}
        draw = float(rng.random())
        if number == 7:
            results.append(failed(number))
        elif number == 11:
            results.append(reused(number, next(r for r in results if r.state == "complete")))
        elif size > 0.93:
            results.append(infeasible(number, energy_j, latency_ms))
        elif number > 4 and draw < 0.3:
            results.append(pruned(number, best * 0.8, epochs=2 + int(draw * 15), **shared))
        else:
            results.append(
                complete(
                    number,
                    best,
                    energy_j,
                    provenance=provenance,
                    latency_ms=latency_ms,
                    params=params,
                    parameters={"width": round(0.25 + size, 2), "depth": 1 + number % 4},
                    would_have_stopped=4 if number % 9 == 3 else None,
                )
            )
    run = summary(
        name="digits <tiny>",
        constraints=("latency_ms <= 5",),
        test_scores={
            r.number: r.metrics["validation_accuracy"] - 0.008
            for r in results
            if r.state == "complete"
        },
        overhead=(line("overhead", 45.0),),
        interrupted={9: line("interrupted", 12.0)},
        unexplained_s=3.2,
        hardware={"Processor": "2 × generic x86-64", "Accelerator": "none", "System": "Linux 6.1"},
        elapsed_s=434.0,
        carbon_intensity_gco2e_per_kwh=381.0,
        zone="DE",
        notes=("No energy counter could be read; joules are processor seconds × 2.8 W.",),
    )
    return results, run

"""From a trained network to a finished trial: export → compare → evaluate → measure → keep."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecoautoml.models.checkpoint import save_checkpoint
from ecoautoml.models.deployable import Deployable
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.runtimes.base import Pixels, calibration_rows
from ecoautoml.trial.bench import (
    Bench,
    asked_scores,
    measured_costs,
    refuse_non_finite,
    traced,
    violations,
    which_violated,
)
from ecoautoml.trial.evaluate import check_parity, scores, session_logits
from ecoautoml.trial.measure import Export, measure_other_batches, measure_session


def deploy(bench: Bench, model: Deployable, costs: Mapping[str, float]) -> TrialResult:
    """Export a trained model, and return the result of the trial: all of it is the file's.

    Args:
        bench: What the trial works with.
        model: The trained model.
        costs: What is known of its costs; what is measured now replaces it.
    """
    log, parts, runtime = bench.log, bench.parts, bench.runtime
    with log.line("export"):
        write(bench, model)
        save_checkpoint(bench.folder, bench.job.candidate, model, about(bench))
        session = runtime.load(bench.file)
    with session:
        with log.line("evaluation"):
            check_parity(session, model, bench.validation, bench.precision)
            logits = session_logits(session, bench.validation)
            labels = bench.validation.labels.numpy()
            final_scores = scores(logits, labels, asked_scores(parts.config))
        with log.line("measurement"):
            inference = measure_session(
                session, bench.validation, bench.meters, parts.config.measure, parts.target
            )
    metrics = {
        **costs,
        "size_bytes": float(runtime.size_bytes(bench.file)),
        **measured_costs(inference),
        **final_scores,
    }
    training_energy_j = log.line_energy_j("training")
    if training_energy_j is not None:
        metrics["training_energy_j"] = training_energy_j
    refuse_non_finite(metrics)
    violated = violations(parts.config, metrics)
    log.known.update(metrics=metrics, constraints=violated, inference=inference)
    if any(value > 0 for value in violated.values()):
        return log.result(TrialState.INFEASIBLE, reason=which_violated(violated))
    with log.line("measurement"):
        found, why_not = measure_other_batches(
            model,
            _export(bench),
            bench.validation,
            bench.meters,
            parts.config.measure,
            parts.target,
        )
    return log.result(TrialState.COMPLETE, other_batches=found, reason=why_not)


def write(bench: Bench, model: Deployable) -> None:
    """Write a model's file in the candidate's precision."""
    export = _export(bench)
    traced(bench, model).write(
        model, bench.file, precision=export.precision, calibration=export.calibration
    )


def _export(bench: Bench) -> Export:
    return Export(
        runtime=bench.runtime,
        precision=bench.precision,
        calibration=calibration_images(bench),
        folder=bench.folder,
    )


def calibration_images(bench: Bench) -> Pixels | None:
    """Return the training images int8 takes its ranges from; None where none are needed."""
    if bench.precision != "int8":
        return None
    pixels = bench.parts.images.get("train", bench.shape[-1]).images_nchw.numpy()
    return np.ascontiguousarray(pixels[calibration_rows(len(pixels))])


def about(bench: Bench) -> dict[str, object]:
    """Return what a checkpoint says of its model, beside its candidate."""
    prepared = bench.parts.prepared
    return {
        "in_chans": prepared.channels,
        "num_classes": len(prepared.class_names),
        "class_names": list(prepared.class_names),
        "mean": list(prepared.mean),
        "std": list(prepared.std),
        "resolution": bench.shape[-1],
        "precision": bench.precision,
        "file": bench.file.name,
        "batch_size": bench.shape[0],
    }

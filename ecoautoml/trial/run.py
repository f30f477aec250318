"""The steps of one trial: build → probe → gate → train → export → evaluate → measure → save."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ecoautoml.config.constraints import Constraint
from ecoautoml.data.tensors import ImageTensors
from ecoautoml.energy.codecarbon_check import codecarbon_check
from ecoautoml.energy.select import MeterSet
from ecoautoml.errors import RuntimeExportError, TrialError
from ecoautoml.models.build import build_network
from ecoautoml.models.checkpoint import save_checkpoint
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.models.deployable import Deployable
from ecoautoml.models.zero_cost import synflow
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.columns import INFERENCE_ENERGY, SCORES, SYNFLOW
from ecoautoml.records.measurement import InferenceMeasurement
from ecoautoml.records.progress import Action, Decision, Progress
from ecoautoml.records.trial_result import (
    OUT_OF_MEMORY,
    STATE_AFTER,
    Probe,
    TrialJob,
    TrialResult,
    TrialState,
)
from ecoautoml.runtimes import AUTO, RUNTIMES, default_runtime
from ecoautoml.runtimes.base import Runtime, TracedModel
from ecoautoml.trial.evaluate import check_parity, network_logits, scores, session_logits
from ecoautoml.trial.log import TrialLog
from ecoautoml.trial.measure import measure_other_batches, measure_session
from ecoautoml.trial.parts import Messenger, TrialParts, TrialStoppedError, model_folder
from ecoautoml.trial.pausing import pause_file, restore_training, save_training
from ecoautoml.trial.settings import patience_for, settings_for
from ecoautoml.trial.train import Trainer


def run_trial(job: TrialJob, parts: TrialParts, messenger: Messenger) -> TrialResult:
    """Run one trial and return its result, whatever happens inside.

    Args:
        job: What to run.
        parts: What all trials share.
        messenger: The way to the search: reports, and requests to stop.
    """
    torch.manual_seed(job.seed)
    meters = parts.open_meters()
    log = TrialLog(job, meters)
    try:
        return _steps(job, parts, messenger, log, meters)
    except TrialStoppedError as stop:
        return log.result(STATE_AFTER[stop.decision.action], reason=stop.decision.reason)
    except Exception as error:  # noqa: BLE001  (one trial's failure never ends a search)
        return log.result(
            TrialState.FAILED, reason=_reason(error), details=traceback.format_exc(limit=20)
        )
    finally:
        meters.close()


def _steps(
    job: TrialJob, parts: TrialParts, messenger: Messenger, log: TrialLog, meters: MeterSet
) -> TrialResult:
    with log.line("probe" if job.before is None else "going on"):
        model = build_deployable(job.candidate, parts)
        resolution = resolution_of(job.candidate, parts)
        validation = parts.images.get("validation", resolution)
        runtime = runtime_of(job.candidate, parts)
        shape = (parts.config.measure.batch_size, parts.prepared.channels, resolution, resolution)
        folder = model_folder(parts.models_folder, job.number)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"model{runtime.suffix}"
        traced, probe = None, _known_probe(job)
        if probe is None:
            traced = runtime.trace(model.eval(), shape)
            probe = _probe(model, traced, runtime, file, validation, parts, meters)
    costs = {**_costs(probe), **measured_costs(probe.inference)}
    violated = _violations(parts, costs)
    _refuse_non_finite(costs)
    log.known.update(probe=probe, metrics=costs, constraints=violated)
    if any(value > 0 for value in violated.values()):
        return log.result(TrialState.INFEASIBLE, reason=_which(violated))
    if not log.curve:
        _raise_unless_told_to_go_on(_tell(messenger, log, 0, costs))

    def train() -> None:
        _train(model, job, parts, messenger, log, validation, costs)

    if parts.config.measure.codecarbon:
        _, theirs = codecarbon_check(train, tracking_mode="process")
        log.known["codecarbon_j"] = theirs.energy_j
    else:
        train()

    with log.line("export"):
        traced = traced or runtime.trace(model, shape)
        traced.write(model, file)
        save_checkpoint(folder, job.candidate, model, _about(parts, resolution))
        session = runtime.load(file)
    with session:
        with log.line("evaluation"):
            check_parity(session, model, validation)
            logits = session_logits(session, validation)
            final_scores = scores(logits, validation.labels.numpy(), _asked_scores(parts))
        with log.line("measurement"):
            inference = measure_session(
                session, validation, meters, parts.config.measure, parts.target
            )
    metrics = {
        **costs,
        "size_bytes": float(file.stat().st_size),
        **measured_costs(inference),
        **final_scores,
    }
    training_energy_j = log.line_energy_j("training")
    if training_energy_j is not None:
        metrics["training_energy_j"] = training_energy_j
    _refuse_non_finite(metrics)
    violated = _violations(parts, metrics)
    log.known.update(metrics=metrics, constraints=violated, inference=inference)
    if any(value > 0 for value in violated.values()):
        return log.result(TrialState.INFEASIBLE, reason=_which(violated))
    with log.line("measurement"):
        found, why_not = measure_other_batches(
            model, runtime, folder, validation, meters, parts.config.measure, parts.target
        )
    return log.result(TrialState.COMPLETE, other_batches=found, reason=why_not)


def _known_probe(job: TrialJob) -> Probe | None:
    return job.probe if job.before is None else job.before.probe


def _probe(
    model: Deployable,
    traced: TracedModel,
    runtime: Runtime,
    file: Path,
    images: ImageTensors,
    parts: TrialParts,
    meters: MeterSet,
) -> Probe:
    """Measure the untrained model: energy, latency and size need no training."""
    traced.write(model, file)
    with runtime.load(file) as session:
        inference = measure_session(session, images, meters, parts.config.measure, parts.target)
    shape = (1, *images.images_nchw.shape[1:])
    is_asked = getattr(parts.config.sampler, "zero_cost", "none") == "synflow"
    return Probe(
        params=count_params(model),
        macs=count_macs(model, shape),
        size_bytes=file.stat().st_size,
        inference=inference,
        synflow=synflow(model.network, shape) if is_asked else None,
    )


def _train(
    model: Deployable,
    job: TrialJob,
    parts: TrialParts,
    messenger: Messenger,
    log: TrialLog,
    validation: ImageTensors,
    costs: Mapping[str, float],
) -> None:
    """Train to the end, to a plateau, or until told to stop; ``model`` holds the result."""
    with log.line("training"):
        trainer = Trainer(
            model,
            settings_for(job.candidate, job.epochs),
            parts.config.training,
            parts.images.get("train", validation.images_nchw.shape[-1]),
            n_classes=len(parts.prepared.class_names),
            device=parts.device,
            seed=job.seed,
        )
    first = _first_epoch(trainer, job, parts, log)
    labels = validation.labels.numpy()
    patience = patience_for(job.candidate, parts.config.training)
    for epoch in range(first, job.epochs + 1):
        with log.line("training"):
            trainer.run_epoch(epoch, messenger.check)
        with log.line("validation"):
            logits = network_logits(
                trainer.trained_model, validation, parts.device, messenger.check
            )
            now = scores(logits, labels, _asked_scores(parts))
        _refuse_non_finite(now)
        decision = _tell(messenger, log, epoch, {**costs, **now, **_training_cost(log)})
        if decision.action is Action.PAUSE:
            with log.line("pausing"):
                save_training(pause_file(parts.paused_folder, job.number, epoch), trainer, epoch)
        _raise_unless_told_to_go_on(decision)
        if _is_on_a_plateau(log.curve, patience):
            break
    model.load_state_dict(trainer.trained_model.state_dict())
    model.to(device="cpu" if parts.target == "cpu" else parts.target)
    model.eval()


def _first_epoch(trainer: Trainer, job: TrialJob, parts: TrialParts, log: TrialLog) -> int:
    """Return the epoch to begin with; a training that was paused is put back to where it was."""
    if job.before is None or not job.before.epochs:
        return 1
    with log.line("going on"):
        file = pause_file(parts.paused_folder, job.number, job.before.epochs)
        if restore_training(file, trainer, job.before.epochs):
            return job.before.epochs + 1
    log.begin_again()
    return 1


def _is_on_a_plateau(curve: Sequence[Progress], patience: int | None) -> bool:
    """Return whether the accuracy has not got better for so many epochs."""
    accuracies = [one.metrics["validation_accuracy"] for one in curve if one.epoch > 0]
    best = max(range(len(accuracies)), key=lambda index: accuracies[index])
    return patience is not None and len(accuracies) - 1 - best >= patience


def build_deployable(candidate: Candidate, parts: TrialParts) -> Deployable:
    """Return the untrained network behind its normalisation."""
    prepared = parts.prepared
    network = build_network(
        candidate, in_chans=prepared.channels, num_classes=len(prepared.class_names)
    )
    return Deployable(network, mean=prepared.mean, std=prepared.std)


def resolution_of(candidate: Candidate, parts: TrialParts) -> int:
    """Return the input side in pixels: the candidate's, else that of the data."""
    value = candidate.architecture.get("resolution")
    return parts.prepared.image_size if value is None else int(value)


def runtime_of(candidate: Candidate, parts: TrialParts) -> Runtime:
    """Return the candidate's runtime, or the default one of the target.

    Raises:
        RuntimeExportError: It cannot run on the target.
    """
    name = str(candidate.runtime.get("runtime", AUTO))
    runtime = RUNTIMES.get(default_runtime(parts.target) if name == AUTO else name)()
    why = runtime.why_unavailable(parts.target)
    if why is not None:
        raise RuntimeExportError(why)
    return runtime


def measured_costs(inference: InferenceMeasurement) -> dict[str, float]:
    """Return the metrics of a measurement; an unknown energy is left out."""
    costs = {"latency_ms": inference.latency_ms}
    if inference.energy_j is not None:
        costs[INFERENCE_ENERGY] = inference.energy_j
    return costs


def _costs(probe: Probe) -> dict[str, float]:
    score = {} if probe.synflow is None else {SYNFLOW: probe.synflow}
    return {
        "params": float(probe.params),
        "macs": float(probe.macs),
        "size_bytes": float(probe.size_bytes),
        **score,
    }


def _training_cost(log: TrialLog) -> dict[str, float]:
    energy_j = log.line_energy_j("training")
    return {} if energy_j is None else {"training_energy_j": energy_j}


def _tell(
    messenger: Messenger, log: TrialLog, epoch: int, metrics: Mapping[str, float]
) -> Decision:
    return messenger.report(log.progress(epoch, metrics))


def _raise_unless_told_to_go_on(decision: Decision) -> None:
    if decision.action is not Action.CONTINUE:
        raise TrialStoppedError(decision)


def _refuse_non_finite(metrics: Mapping[str, float]) -> None:
    """Refuse numbers no sampler and no table can do anything with.

    Raises:
        TrialError: A metric is NaN or infinite.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise TrialError(f"{name} became {value}")


def _asked_scores(parts: TrialParts) -> list[str]:
    """Return the scores among objectives and constraints."""
    asked = {*parts.config.objectives, *(limit.metric for limit in _limits(parts))}
    return [name for name in SCORES if name in asked]


def _limits(parts: TrialParts) -> tuple[Constraint, ...]:
    return parts.config.parsed_constraints


def _violations(parts: TrialParts, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the relative violation of every constraint that can be judged by now."""
    found = {limit.text: limit.violation(metrics) for limit in _limits(parts)}
    return {text: value for text, value in found.items() if value is not None}


def _which(violated: Mapping[str, float]) -> str:
    parts = [f"{text} by {value:.1%}" for text, value in violated.items() if value > 0]
    return "violates " + ", ".join(parts)


def _about(parts: TrialParts, resolution: int) -> dict[str, object]:
    prepared = parts.prepared
    return {
        "in_chans": prepared.channels,
        "num_classes": len(prepared.class_names),
        "class_names": list(prepared.class_names),
        "mean": list(prepared.mean),
        "std": list(prepared.std),
        "resolution": resolution,
    }


def _reason(error: Exception) -> str:
    """Return one sentence; running out of memory is named whatever raised it."""
    text = " ".join(str(error).split())
    is_memory = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(
        phrase in text for phrase in ("can't allocate memory", "annot allocate memory", "bad_alloc")
    )
    if is_memory:
        return f"{OUT_OF_MEMORY}: {text or type(error).__name__}"[:500]
    return f"{type(error).__name__}: {text}"[:500]

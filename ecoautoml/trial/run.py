"""The steps of one trial: build → probe → gate → train → export → evaluate → measure → save."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence

import torch

from ecoautoml.data.tensors import ImageTensors
from ecoautoml.energy.codecarbon_check import codecarbon_check
from ecoautoml.energy.select import MeterSet
from ecoautoml.models.checkpoint import save_checkpoint
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.models.deployable import Deployable
from ecoautoml.models.zero_cost import synflow
from ecoautoml.records.columns import SYNFLOW
from ecoautoml.records.progress import Action, Decision, Progress
from ecoautoml.records.trial_result import (
    OUT_OF_MEMORY,
    STATE_AFTER,
    Probe,
    TrialJob,
    TrialResult,
    TrialState,
)
from ecoautoml.trial.bench import (
    Bench,
    asked_scores,
    bench_for,
    build_deployable,
    counted,
    measured_costs,
    refuse_non_finite,
    runtime_of,
    violations,
    which_violated,
    why_not_written,
)
from ecoautoml.trial.compressing import BEFORE, as_compressed, compressed, is_compressed
from ecoautoml.trial.deployment import about, deploy, write
from ecoautoml.trial.evaluate import network_logits, scores
from ecoautoml.trial.log import TrialLog
from ecoautoml.trial.measure import measure_session
from ecoautoml.trial.parts import Messenger, TrialParts, TrialStoppedError
from ecoautoml.trial.pausing import pause_file, restore_training, save_training
from ecoautoml.trial.settings import patience_for, settings_for
from ecoautoml.trial.train import Trainer
from ecoautoml.trial.variant import run_variant


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
    runtime = runtime_of(job.candidate, parts)
    refusal = why_not_written(job.candidate, runtime)
    if refusal is not None:
        return log.result(TrialState.INFEASIBLE, reason=refusal)
    bench = bench_for(job, parts, log, meters, runtime)
    if job.parent is not None:
        return run_variant(bench, messenger)
    with log.line("probe" if job.before is None else "going on"):
        model = build_deployable(job.candidate, parts)
        probe = _known_probe(job)
        if probe is None:
            probe = _probe(model, bench)
    costs = {**_costs(probe), **measured_costs(probe.inference)}
    violated = violations(parts.config, costs)
    refuse_non_finite(costs)
    log.known.update(probe=probe, metrics=costs, constraints=violated)
    if any(value > 0 for value in violated.values()):
        return log.result(TrialState.INFEASIBLE, reason=which_violated(violated))
    if not log.curve:
        _raise_unless_told_to_go_on(_tell(messenger, log, 0, costs))

    def train() -> None:
        _train(model, job, parts, messenger, log, bench.validation, costs)

    if parts.config.measure.codecarbon:
        _, theirs = codecarbon_check(train, tracking_mode="process")
        log.known["codecarbon_j"] = theirs.energy_j
    else:
        train()
    if is_compressed(bench):
        save_checkpoint(bench.folder / BEFORE, job.candidate, model, about(bench))
        model = compressed(bench, model, messenger)
        costs = {**costs, **counted(model, bench)}
    return deploy(bench, model, costs)


def _known_probe(job: TrialJob) -> Probe | None:
    return job.probe if job.before is None else job.before.probe


def _probe(model: Deployable, bench: Bench) -> Probe:
    """Measure the untrained model: energy, latency and size need no training."""
    parts, runtime = bench.parts, bench.runtime
    model = as_compressed(bench, model)
    write(bench, model)
    with runtime.load(bench.file) as session:
        inference = measure_session(
            session, bench.validation, bench.meters, parts.config.measure, parts.target
        )
    shape = (1, *bench.shape[1:])
    is_asked = getattr(parts.config.sampler, "zero_cost", "none") == "synflow"
    return Probe(
        params=count_params(model),
        macs=count_macs(model, shape),
        size_bytes=runtime.size_bytes(bench.file),
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
            now = scores(logits, labels, asked_scores(parts.config))
        refuse_non_finite(now)
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


def _reason(error: Exception) -> str:
    """Return one sentence; running out of memory is named whatever raised it."""
    text = " ".join(str(error).split())
    is_memory = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(
        phrase in text for phrase in ("can't allocate memory", "annot allocate memory", "bad_alloc")
    )
    if is_memory:
        return f"{OUT_OF_MEMORY}: {text or type(error).__name__}"[:500]
    return f"{type(error).__name__}: {text}"[:500]

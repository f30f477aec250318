"""Jobs beside trials: the look ahead before the start; measuring and scoring the final front."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from ecoautoml.data.tensors import ImageTensors
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.measurement import Ranking
from ecoautoml.runtimes.base import Session
from ecoautoml.trial.bench import build_deployable, resolution_of, runtime_of
from ecoautoml.trial.evaluate import session_logits
from ecoautoml.trial.measure import measure_sessions_in_turn
from ecoautoml.trial.parts import TrialParts, model_folder
from ecoautoml.trial.settings import epochs_for, settings_for
from ecoautoml.trial.train import Trainer

logger = logging.getLogger(__name__)

LOOK_AHEAD_STEPS = 4
"""Training steps timed per candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAhead:
    """What a few untrained candidates tell about the search to come.

    Attributes:
        trial_s: Predicted seconds of training per probed candidate.
        trial_energy_j: Predicted joules per probed candidate, above idle where the idle watts are
            known; entries None when unknown.
    """

    trial_s: tuple[float, ...]
    trial_energy_j: tuple[float | None, ...]


def test_scores(candidates: dict[int, Candidate], parts: TrialParts) -> dict[int, float]:
    """Return the test accuracy of exported models; the only place that reads the test split."""
    accuracy = {}
    for number, candidate in candidates.items():
        images = parts.images.get("test", resolution_of(candidate, parts))
        with _exported(number, candidate, parts) as session:
            predicted = session_logits(session, images).argmax(axis=1)
        accuracy[number] = float((predicted == images.labels.numpy()).mean())
    return accuracy


def measure_front(candidates: dict[int, Candidate], parts: TrialParts) -> Ranking:
    """Measure exported models in turn, on validation images, while nothing else runs here."""
    meters = parts.open_meters()
    with ExitStack() as stack:
        sessions = {
            number: (
                stack.enter_context(_exported(number, candidate, parts)),
                parts.images.get("validation", resolution_of(candidate, parts)),
            )
            for number, candidate in candidates.items()
        }
        ranking = measure_sessions_in_turn(sessions, meters, parts.config.measure, parts.target)
    meters.close()
    return ranking


def look_ahead(candidates: Sequence[Candidate], parts: TrialParts) -> LookAhead:
    """Train a few steps of each candidate and predict what whole trials will take."""
    seconds: list[float] = []
    joules: list[float | None] = []
    for candidate in candidates:
        try:
            export_s, export_j = _time_export(candidate, parts)
            training_s, training_j = _time_training(candidate, parts)
        except Exception as error:  # noqa: BLE001  (it says nothing about the others)
            logger.debug("no look ahead at a candidate: %s", error)
            continue
        seconds.append(export_s + training_s)
        known = export_j is not None and training_j is not None
        joules.append(export_j + training_j if known else None)  # type: ignore[operator]
    return LookAhead(trial_s=tuple(seconds), trial_energy_j=tuple(joules))


def _exported(number: int, candidate: Candidate, parts: TrialParts) -> Session:
    """Return a trial's exported model, loaded."""
    runtime = runtime_of(candidate, parts)
    return runtime.load(model_folder(parts.models_folder, number) / f"model{runtime.suffix}")


def _time_training(candidate: Candidate, parts: TrialParts) -> tuple[float, float | None]:
    """Return predicted seconds and joules of a whole training, from a few steps."""
    torch.manual_seed(0)
    settings = settings_for(candidate, epochs_for(candidate, parts.config.training))
    images = parts.images.get("train", resolution_of(candidate, parts))
    few = settings.batch_size * LOOK_AHEAD_STEPS
    sample = ImageTensors(images_nchw=images.images_nchw[:few], labels=images.labels[:few])
    trainer = Trainer(
        build_deployable(candidate, parts),
        settings,
        parts.config.training,
        sample,
        n_classes=len(parts.prepared.class_names),
        device=parts.device,
        seed=0,
    )
    trainer.run_epoch(1, lambda: None)  # warm-up
    meters = parts.open_meters()
    started_s = time.perf_counter()
    with EnergyWindow(meters.meters, meters.clock, idle_w=meters.idle_w) as window:
        trainer.run_epoch(1, lambda: None)
    elapsed_s = time.perf_counter() - started_s
    meters.close()
    sampled_steps = max(1, len(sample.labels) // settings.batch_size)
    n_train, n_validation = len(images.labels), parts.prepared.counts["validation"]
    # a validation image costs about a third of a training image: no backward pass
    epochs = settings.epochs * (1 + n_validation / (3 * n_train))
    scale = epochs * max(1, n_train // settings.batch_size) / sampled_steps
    energy_j = window.line("steps").billed_j
    return elapsed_s * scale, None if energy_j is None else energy_j * scale


def _time_export(candidate: Candidate, parts: TrialParts) -> tuple[float, float | None]:
    """Return seconds and joules of tracing, which every trial pays beside its training."""
    meters = parts.open_meters()
    started_s = time.perf_counter()
    resolution = resolution_of(candidate, parts)
    shape = (parts.config.measure.batch_size, parts.prepared.channels, resolution, resolution)
    with EnergyWindow(meters.meters, meters.clock, idle_w=meters.idle_w) as window:
        runtime_of(candidate, parts).trace(build_deployable(candidate, parts).eval(), shape)
    meters.close()
    return time.perf_counter() - started_s, window.line("export").billed_j

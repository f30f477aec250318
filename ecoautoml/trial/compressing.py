"""The compression steps of a trial, with what they need: images, a teacher, and tuning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ecoautoml.compression.base import LossFn, StepContext
from ecoautoml.compression.pipeline import compress, steps_for
from ecoautoml.data.tensors import ImageTensors
from ecoautoml.errors import RunError, TrialError
from ecoautoml.models.checkpoint import load_checkpoint
from ecoautoml.models.deployable import Deployable
from ecoautoml.trial.bench import Bench
from ecoautoml.trial.parts import Messenger, model_folder
from ecoautoml.trial.settings import TrainingSettings, settings_for
from ecoautoml.trial.train import Trainer

TUNING_RATE = 0.3
"""Learning rate of tuning, as a share of the training's: what was learnt is to be kept."""
BATCHES, IMAGES_PER_BATCH = 8, 64
"""Training images that steps may look at (gradients, statistics)."""
PARENT, BEST = "parent", "best"
BEFORE = "trained"
"""Folder of a trial's network as it was before its compression, where there was any."""


def is_compressed(bench: Bench) -> bool:
    """Return whether the candidate's network is changed after its training."""
    return bool(steps_for(bench.job.candidate.compression))


def compressed(bench: Bench, model: Deployable, messenger: Messenger) -> Deployable:
    """Return a trained model after its compression steps; billed as training, which tuning is."""
    if not is_compressed(bench):
        return model
    with bench.log.line("training"):
        return _Compressing(bench=bench, model=model, check=messenger.check).run()


def as_compressed(bench: Bench, model: Deployable) -> Deployable:
    """Return what an untrained model costs after its compression: the steps without any tuning."""
    if not is_compressed(bench):
        return model
    untrained = copy.deepcopy(model)
    step = _Compressing(bench=bench, model=untrained, check=lambda: None, is_tuned=False)
    return step.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compressing:
    """One model, and the steps its candidate asks for."""

    bench: Bench
    model: Deployable
    check: Callable[[], None]
    is_tuned: bool = True

    def run(self) -> Deployable:
        """Return the compressed model, in evaluation mode, where the given one was."""
        bench, model = self.bench, self.model
        device = model.mean.device
        context = StepContext(
            values=bench.job.candidate.compression,
            example=torch.zeros((1, *bench.shape[1:]), device=device),
            batches=self._batches,
            tune=self._tune if self.is_tuned else _no_tuning,
            teacher=self._teacher(),
        )
        return _behind_normalisation(compress(model.network, context), model).to(device).eval()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a few batches of normalised training images, spread over the set."""
        images = self._images()
        device = self.model.mean.device
        n = min(len(images.labels), BATCHES * IMAGES_PER_BATCH)
        rows = torch.linspace(0, len(images.labels) - 1, n).long()
        for part in rows.split(IMAGES_PER_BATCH):
            pixels_bchw = images.images_nchw[part].to(device)
            yield self.model.normalised(pixels_bchw), images.labels[part].to(device)

    def _images(self) -> ImageTensors:
        return self.bench.parts.images.get("train", self.bench.shape[-1])

    def _tune(self, network: nn.Module, epochs: int, loss: LossFn | None) -> None:
        """Train a network further in place, at a lower rate, as its training was set."""
        bench, parts = self.bench, self.bench.parts
        model = _behind_normalisation(network, self.model)
        trainer = Trainer(
            model,
            _tuning_settings(settings_for(bench.job.candidate, epochs)),
            parts.config.training,
            self._images(),
            n_classes=len(parts.prepared.class_names),
            device=parts.device,
            seed=bench.job.seed,
            loss=None if loss is None else _on_pixels(loss, model),
        )
        for epoch in range(1, epochs + 1):
            trainer.run_epoch(epoch, self.check)
        model.to(device=self.model.mean.device).eval()

    def _teacher(self) -> nn.Module | None:
        """Return the network to learn from; None where nothing is to be learnt.

        Raises:
            TrialError: It is not there, or is of other images or classes.
        """
        values = self.bench.job.candidate.compression
        if not self.is_tuned:
            return copy.deepcopy(self.model.network)  # nothing is learnt from it
        if values.get("distil", "none") == "none":
            return None
        name = str(values.get("distil_teacher", PARENT))
        if name == PARENT:
            return copy.deepcopy(self.model.network).eval()
        return self._other_teacher(name)

    def _other_teacher(self, name: str) -> nn.Module:
        folder: Path | None = Path(name)
        if name == BEST:
            best = self.bench.job.teacher
            folder = None if best is None else model_folder(self.bench.parts.models_folder, best)
        if folder is None:
            return copy.deepcopy(self.model.network).eval()  # no other has completed yet
        try:
            teacher = load_checkpoint(trained_folder(folder))
        except RunError as error:
            raise TrialError(f"compression.distil_teacher: {error}") from error
        if self.model.mean.shape != teacher.mean.shape:
            raise TrialError(f"compression.distil_teacher: {folder} takes images of other channels")
        return _TeacherOf(teacher, self.model).to(self.model.mean.device).eval()


class _TeacherOf(nn.Module):
    """A teacher that takes images as the student's normalisation leaves them."""

    mean: Tensor
    std: Tensor

    def __init__(self, teacher: Deployable, student: Deployable) -> None:
        super().__init__()
        self.teacher = teacher
        self.register_buffer("mean", student.mean.clone())
        self.register_buffer("std", student.std.clone())

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Return the teacher's logits, shape (b, k)."""
        logits: Tensor = self.teacher((x_bchw * self.std + self.mean) * 255)
        return logits


def trained_folder(folder: Path) -> Path:
    """Return where a trial's network is as it was trained, before anything was made of it."""
    before = folder / BEFORE
    return before if before.is_dir() else folder


def _behind_normalisation(network: nn.Module, like: Deployable) -> Deployable:
    mean, std = like.mean.flatten().tolist(), like.std.flatten().tolist()
    return Deployable(network, mean=mean, std=std)


def _on_pixels(loss: LossFn, model: Deployable) -> LossFn:
    """Return a loss that is given raw pixels, as the trainer has them."""
    return lambda logits, pixels, labels: loss(logits, model.normalised(pixels), labels)


def _no_tuning(network: nn.Module, epochs: int, loss: LossFn | None) -> None:
    """Leave a network as it is: what it costs does not depend on its weights."""


def _tuning_settings(settings: TrainingSettings) -> TrainingSettings:
    """Return the settings of tuning: the training's, but gentler, and on whole images of all."""
    return replace(
        settings,
        learning_rate=settings.learning_rate * TUNING_RATE,
        warmup_epochs=0.0,
        mixup=0.0,
        ema_decay=0.0,
        low_precision_from=0.0,
        progressive_resolution=1.0,
        trainable="all",
        subset_fraction=1.0,
    )

"""Training on images held in memory.

Shapes: b batch, c channels, h height, w width, k classes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timm.data.mixup import mixup_target
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from ecoautoml.config.models import TrainingConfig
from ecoautoml.data.augment import augment
from ecoautoml.data.tensors import ImageTensors, batches
from ecoautoml.errors import TrialError
from ecoautoml.trial.settings import TrainingSettings

IMBALANCE_WORTH_WEIGHTING = 1.5
FUSED = ("adam", "adamw", "sgd", "momentum")
"""Optimisers of torch with one kernel for all weights; one by one, a network of 60 small tensors
spent 16 % of a step on a processor in AdamW."""


class Trainer:
    """One training, an epoch at a time.

    Args:
        model: Takes uint8 pixels (b, c, h, w), gives logits (b, k); moved to ``device``.
        settings: Hyperparameters.
        config: What is the same for every trial.
        images: Training images.
        n_classes: Number of classes k.
        device: "cpu" or "cuda:N".
        seed: Seed of order, augmentation and mixup.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: TrainingSettings,
        config: TrainingConfig,
        images: ImageTensors,
        *,
        n_classes: int,
        device: str,
        seed: int,
    ) -> None:
        self._model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._settings, self._images, self._device = settings, images, device
        self._clip = config.gradient_clip
        self._generator = torch.Generator().manual_seed(seed)
        # a training set smaller than one batch still makes one step an epoch
        self._batch_size = min(settings.batch_size, len(images.labels))
        self._steps_per_epoch = len(images.labels) // self._batch_size
        self._optimizer = _optimizer(model, settings)
        self._scheduler = _scheduler(self._optimizer, settings, self._steps_per_epoch)
        self._n_classes, self._mixup_draws = n_classes, np.random.default_rng(seed)
        weights = _class_weights(config, images.labels, n_classes)
        self._loss = _loss(settings, None if weights is None else weights.to(device))
        # with warm-up: the average of a few dozen steps would else be the random start
        self._ema = (
            ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)
            if settings.ema_decay
            else None
        )
        self._precision = _precision(config.precision, device)
        self._scaler = torch.amp.GradScaler(enabled=self._precision is torch.float16)
        self._steps = 0

    @property
    def trained_model(self) -> nn.Module:
        """Return the model to evaluate and ship: the averaged weights when they are kept."""
        module: nn.Module = self._model if self._ema is None else self._ema.module
        return module

    def state(self) -> dict[str, Any]:
        """Return everything that the rest of the training depends on, but PyTorch's own chance."""
        parts = {"model": self._model, "optimizer": self._optimizer, "scaler": self._scaler}
        state = {name: part.state_dict() for name, part in parts.items()}
        if self._scheduler is not None:
            state["scheduler"] = self._scheduler.state_dict()
        if self._ema is not None:
            state["ema"] = self._ema.module.state_dict()
        return {
            **state,
            "order": self._generator.get_state(),
            "mixup": self._mixup_draws.bit_generator.state,
            "steps": self._steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another training with the same settings was when it gave its `state`."""
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state["scheduler"])
        if self._ema is not None:
            self._ema.module.load_state_dict(state["ema"])
        self._generator.set_state(state["order"])
        self._mixup_draws.bit_generator.state = state["mixup"]
        self._steps = state["steps"]

    def run_epoch(self, epoch: int, between_steps: Callable[[], None]) -> float:
        """Train one epoch and return its mean loss.

        Args:
            epoch: Number of this epoch, from 1.
            between_steps: Called before every step; may raise to end the trial.

        Raises:
            TrialError: The loss is no longer finite.
        """
        self._model.train()
        total = torch.zeros((), device=self._device)
        for images_bchw, labels_b in batches(
            self._images, self._batch_size, generator=self._generator, drop_last=True
        ):
            between_steps()
            total += self._step(images_bchw, labels_b)
        mean = float(total) / self._steps_per_epoch
        if not math.isfinite(mean):
            raise TrialError(
                f"the loss became {mean} in epoch {epoch} "
                f"(learning_rate {self._settings.learning_rate:g}, {self._settings.optimizer})"
            )
        return mean

    def _step(self, images_bchw: Tensor, labels_b: Tensor) -> Tensor:
        images_bchw = augment(images_bchw, self._settings.augmentation, self._generator)
        images_bchw, targets = images_bchw.to(self._device), labels_b.to(self._device)
        if self._settings.mixup:
            images_bchw, targets = self._mixed(images_bchw, targets)
        with self._autocast():
            loss: Tensor = self._loss(self._model(images_bchw), targets)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if self._clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._steps += 1
        if self._scheduler is not None:
            self._scheduler.step_update(self._steps)
        if self._ema is not None:
            self._ema.update(self._model, step=self._steps)
        return loss.detach()

    def _mixed(self, images_bchw: Tensor, labels_b: Tensor) -> tuple[Tensor, Tensor]:
        """Return each image blended with the one opposite in the batch, and targets (b, k).

        timm's own Mixup draws from NumPy's global state, which no seed of a trial reaches, and
        refuses odd batches.
        """
        alpha = self._settings.mixup
        share = float(self._mixup_draws.beta(alpha, alpha))
        images_bchw = images_bchw.float()
        mixed: Tensor = images_bchw.lerp(images_bchw.flip(0), 1.0 - share)
        smoothing = self._settings.label_smoothing
        targets: Tensor = mixup_target(labels_b, self._n_classes, share, smoothing)
        return mixed, targets

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._precision is None:
            return contextlib.nullcontext()
        return torch.autocast(self._device.split(":")[0], dtype=self._precision)


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    name = settings.optimizer
    if name == "sgd" and settings.momentum == 0:
        name = "momentum"  # timm's "sgd" is Nesterov's, which needs some
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            model,
            opt=name,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
            **({"fused": True} if name in FUSED else {}),
        )
    except (ValueError, AssertionError, TypeError) as error:
        raise TrialError(
            f"timm cannot make the optimiser {settings.optimizer!r}: {error}"
        ) from error
    return optimizer


def _scheduler(optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int) -> Any:
    if settings.schedule == "none":
        return None
    # whole updates instead of epochs, so that fractions of an epoch of warm-up count
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=settings.schedule,
        num_epochs=settings.epochs * steps,
        decay_epochs=max(1, settings.epochs * steps // 3),
        decay_rate=0.3,
        warmup_epochs=min(round(settings.warmup_epochs * steps), settings.epochs * steps // 2),
        warmup_lr=settings.learning_rate / 100,
        min_lr=settings.learning_rate / 1000,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    return scheduler


def _loss(settings: TrainingSettings, class_weights_k: Tensor | None) -> nn.Module:
    """Return timm's loss, or torch's where classes are weighted (timm's take no weights)."""
    if class_weights_k is not None:
        smoothing = 0.0 if settings.mixup else settings.label_smoothing
        return nn.CrossEntropyLoss(weight=class_weights_k, label_smoothing=smoothing)
    if settings.mixup:
        loss: nn.Module = SoftTargetCrossEntropy()
    elif settings.label_smoothing:
        loss = LabelSmoothingCrossEntropy(smoothing=settings.label_smoothing)
    else:
        loss = nn.CrossEntropyLoss()
    return loss


def _class_weights(config: TrainingConfig, labels_n: Tensor, n_classes: int) -> Tensor | None:
    """Return weights (k,) with mean 1 over the images, None when classes are even enough."""
    counts_k = torch.bincount(labels_n, minlength=n_classes).clamp(min=1).float()
    is_uneven = float(counts_k.max() / counts_k.min()) > IMBALANCE_WORTH_WEIGHTING
    if config.class_weights == "none" or (config.class_weights == "auto" and not is_uneven):
        return None
    return counts_k.sum() / (n_classes * counts_k)


def _precision(asked: str, device: str) -> torch.dtype | None:
    """Return the autocast type, None for plain fp32.

    On a CPU "auto" is fp32: bf16 autocast was 2 to 3 times slower there for these networks.
    """
    if asked == "auto":
        is_fast = device.startswith("cuda") and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if is_fast else None
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[asked]

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
from ecoautoml.trial.economies import (
    EpochPlan,
    is_on_subset,
    loss_mass,
    lowered_precision,
    micro_batches,
    precision_of_epoch,
    refuse_unless_it_takes,
    resized,
    side_of_epoch,
    subset_rows,
)
from ecoautoml.trial.freezing import freeze, keep_statistics
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
        loss: ``(logits (b, k), pixels (b, c, h, w), labels (b,)) → scalar`` in the place of the
            settings' loss; None: theirs. Not with mixup, whose targets are no labels.
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
        loss: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self._model = model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self._settings, self._images, self._device = settings, images, device
        self._clip = config.gradient_clip
        self._generator = torch.Generator().manual_seed(seed)
        self._subset_m = _subset(settings, images, seed)
        self._frozen = freeze(model, settings.trainable)
        self._refuse_sides_that_do_not_fit()
        self._optimizer = _optimizer(model, settings)
        self._scheduler = self._schedule()
        self._n_classes, self._mixup_draws = n_classes, np.random.default_rng(seed)
        weights = _class_weights(config, images.labels, n_classes)
        self._class_weights = None if weights is None else weights.to(device)
        self._loss, self._own_loss = _loss(settings, self._class_weights), loss
        # with warm-up: the average of a few dozen steps would else be the random start
        self._ema = (
            ModelEmaV3(model, decay=settings.ema_decay, use_warmup=True)
            if settings.ema_decay
            else None
        )
        self._precision = lowered_precision(settings.precision or config.precision, device)
        is_scaled = self._precision is torch.float16
        self._scaler = torch.amp.GradScaler(self._kind_of_device, enabled=is_scaled)
        self._no_scaler = torch.amp.GradScaler(self._kind_of_device, enabled=False)
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
        plan = self._plan(epoch)
        self._model.train()
        keep_statistics(self._frozen)
        batch_size, steps = self._batches_of(plan.rows_m)
        total = torch.zeros((), device=self._device)
        for images_bchw, labels_b in batches(
            self._images,
            batch_size,
            generator=self._generator,
            drop_last=True,
            rows_m=plan.rows_m,
        ):
            between_steps()
            total += self._step(images_bchw, labels_b, plan)
        mean = float(total) / steps
        if not math.isfinite(mean):
            raise TrialError(
                f"the loss became {mean} in epoch {epoch} "
                f"(learning_rate {self._settings.learning_rate:g}, {self._settings.optimizer})"
            )
        return mean

    def _plan(self, epoch: int) -> EpochPlan:
        """Return what is particular about an epoch; it follows from its number alone."""
        return EpochPlan(
            precision=precision_of_epoch(self._precision, self._settings, epoch),
            side=side_of_epoch(self._images.images_nchw.shape[-1], self._settings, epoch),
            rows_m=self._subset_m if is_on_subset(self._settings, epoch) else None,
        )

    def _batches_of(self, rows_m: Tensor | None) -> tuple[int, int]:
        """Return images per step and steps of an epoch on these rows."""
        count = len(self._images.labels if rows_m is None else rows_m)
        # a training set smaller than one batch still makes one step an epoch
        batch_size = min(self._settings.batch_size, count)
        return batch_size, count // batch_size

    def _schedule(self) -> Any:
        numbers = range(1, self._settings.epochs + 1)
        on_subset = sum(is_on_subset(self._settings, epoch) for epoch in numbers)
        whole, few = (self._batches_of(rows_m)[1] for rows_m in (None, self._subset_m))
        total = on_subset * few + (self._settings.epochs - on_subset) * whole
        first = few if is_on_subset(self._settings, 1) else whole
        return _scheduler(self._optimizer, self._settings, total=total, per_epoch=first)

    def _refuse_sides_that_do_not_fit(self) -> None:
        images_nchw = self._images.images_nchw
        side = side_of_epoch(images_nchw.shape[-1], self._settings, 1)
        if side != images_nchw.shape[-1]:
            refuse_unless_it_takes(self._model, side, images_nchw, self._device)

    def _step(self, images_bchw: Tensor, labels_b: Tensor, plan: EpochPlan) -> Tensor:
        images_bchw = augment(images_bchw, self._settings.augmentation, self._generator)
        images_bchw, targets = images_bchw.to(self._device), labels_b.to(self._device)
        images_bchw = resized(images_bchw, plan.side)
        if self._settings.mixup:
            images_bchw, targets = self._mixed(images_bchw, targets)
        if not self._settings.channels_last:
            images_bchw = images_bchw.contiguous()
        scaler = self._scaler if plan.precision is torch.float16 else self._no_scaler
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._gradients(images_bchw, targets, plan, scaler)
        if self._clip is not None:
            scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)
        scaler.step(self._optimizer)
        scaler.update()
        self._steps += 1
        if self._scheduler is not None:
            self._scheduler.step_update(self._steps)
        if self._ema is not None:
            self._ema.update(self._model, step=self._steps)
        return loss

    def _gradients(
        self,
        images_bchw: Tensor,
        targets: Tensor,
        plan: EpochPlan,
        scaler: torch.amp.GradScaler,
    ) -> Tensor:
        """Add up the gradients of a batch, a part at a time, and return its mean loss."""
        total = torch.zeros((), device=self._device)
        mass = loss_mass(targets, self._class_weights)
        for rows in micro_batches(len(targets), self._settings.accumulation):
            part = targets[rows]
            with self._autocast(plan.precision):
                loss = self._loss_of(images_bchw[rows], part)
            if len(part) < len(targets):
                loss = loss * (loss_mass(part, self._class_weights) / mass)
            scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _loss_of(self, images_bchw: Tensor, targets: Tensor) -> Tensor:
        logits_bk = self._model(images_bchw)
        if self._own_loss is not None:
            return self._own_loss(logits_bk, images_bchw, targets)
        loss: Tensor = self._loss(logits_bk, targets)
        return loss

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

    def _autocast(self, precision: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
        if precision is None:
            return contextlib.nullcontext()
        return torch.autocast(self._kind_of_device, dtype=precision)

    @property
    def _kind_of_device(self) -> str:
        return self._device.split(":")[0]


def _subset(settings: TrainingSettings, images: ImageTensors, seed: int) -> Tensor | None:
    if settings.subset_fraction >= 1.0:
        return None
    return subset_rows(images.labels, settings.subset_fraction, seed)


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


def _scheduler(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, *, total: int, per_epoch: int
) -> Any:
    """Return timm's scheduler, None for a constant rate.

    Args:
        optimizer: Whose rate it sets.
        settings: Kind of schedule, rate and warm-up.
        total: Steps of the whole training.
        per_epoch: Steps of one epoch at its beginning.
    """
    if settings.schedule == "none":
        return None
    # whole updates instead of epochs, so that fractions of an epoch of warm-up count
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=settings.schedule,
        num_epochs=total,
        decay_epochs=max(1, total // 3),
        decay_rate=0.3,
        warmup_epochs=min(round(settings.warmup_epochs * per_epoch), total // 2),
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

"""What the trainer needs to know, from a candidate's hyperparameters and the configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ecoautoml.config.models import TrainingConfig
from ecoautoml.records.candidate import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Settings of one training; the defaults hold where a space does not search a value.

    Attributes:
        optimizer: Name of a timm optimiser.
        learning_rate: Peak learning rate.
        weight_decay: L2 penalty (decoupled where the optimiser does so).
        momentum: Momentum of SGD and RMSprop.
        batch_size: Images per step.
        schedule: "cosine", "step" or "none".
        warmup_epochs: Epochs of linear warm-up, fractions allowed.
        label_smoothing: Within [0, 1).
        augmentation: Policy name, see `ecoautoml.data.augment`.
        mixup: Alpha of mixup; 0 is off.
        ema_decay: Decay of the averaged weights; 0 is off.
        epochs: Epochs.
        precision: "fp32", "bf16", "fp16" or "auto"; None: the configuration's.
        low_precision_from: Share of the epochs that are trained in fp32 before ``precision``.
        accumulation: Parts in which a batch goes through the network, one after the other, with
            one step of the optimiser for all: memory falls. Gradients are those of the whole
            batch, but batch normalisation sees the statistics of a part at a time.
        channels_last: Whether the channels of weights and images are last in memory.
        progressive_resolution: Side of the images in the first epoch, as a share of the full side,
            which is reached after 70 % of the epochs; 1 is off. Evaluation has the full side.
        trainable: "all", "head" or "last_half", see `ecoautoml.trial.freezing`.
        subset_fraction: Share of the training images, by class, that is used at first; 1 is off.
        subset_until: Share of the epochs that are trained on that subset.
        patience: Epochs without a better validation accuracy after which a trial ends; 0: never;
            None: the configuration's.
    """

    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    momentum: float = 0.9
    batch_size: int = 128
    schedule: str = "cosine"
    warmup_epochs: float = 0.5
    label_smoothing: float = 0.0
    augmentation: str = "none"
    mixup: float = 0.0
    ema_decay: float = 0.0
    epochs: int = 5
    precision: str | None = None
    low_precision_from: float = 0.0
    accumulation: int = 1
    channels_last: bool = True
    progressive_resolution: float = 1.0
    trainable: str = "all"
    subset_fraction: float = 1.0
    subset_until: float = 0.5
    patience: int | None = None


def settings_for(candidate: Candidate, epochs: int) -> TrainingSettings:
    """Return the settings of a candidate trained for ``epochs``."""
    known = {field.name for field in fields(TrainingSettings)}
    given = {
        name: value
        for name, value in candidate.hyperparameters.items()
        if name in known and value is not None
    }
    return TrainingSettings(**{**given, "epochs": epochs})  # type: ignore[arg-type]


def epochs_for(candidate: Candidate, training: TrainingConfig) -> int:
    """Return the epochs of a candidate: the configuration's, else the space's, else 5."""
    if training.epochs is not None:
        return training.epochs
    value = candidate.hyperparameters.get("epochs")
    return int(value) if isinstance(value, int | float) else 5


def patience_for(candidate: Candidate, training: TrainingConfig) -> int | None:
    """Return the epochs without a better accuracy that end a trial; None: nothing does.

    The space's ``patience`` comes before the configuration's.
    """
    value = candidate.hyperparameters.get("patience")
    if not isinstance(value, int | float):
        return training.patience
    return int(value) or None

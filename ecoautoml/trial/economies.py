"""What a training saves in which epoch, as functions of the epoch's number.

Nothing here remembers anything: a training that was paused needs its epoch, its settings and its
seed to go on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ecoautoml.data.splits import stratified_rows
from ecoautoml.errors import TrialError
from ecoautoml.trial.settings import TrainingSettings

SMALLEST_SIDE = 8
SIDE_STEP = 4
GROWN_AFTER = 0.7
"""Share of the epochs after which images have their full side."""
_SUBSET_DRAW = 1
_PIXELS_OF_TRIAL_STEP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPlan:
    """What is particular about one epoch.

    Attributes:
        precision: Autocast type; None: plain fp32.
        side: Side of the images in pixels.
        rows_m: Rows of the training images to use, int64, shape (m,); None: all.
    """

    precision: torch.dtype | None
    side: int
    rows_m: Tensor | None


def share_done(epoch: int, epochs: int) -> float:
    """Return which share of the epochs lies before this one (from 1)."""
    return (epoch - 1) / epochs


def precision_of_epoch(
    lowered: torch.dtype | None, settings: TrainingSettings, epoch: int
) -> torch.dtype | None:
    """Return the autocast type of an epoch: fp32 (None) until ``low_precision_from``."""
    is_early = share_done(epoch, settings.epochs) < settings.low_precision_from
    return None if is_early else lowered


def side_of_epoch(full: int, settings: TrainingSettings, epoch: int) -> int:
    """Return the side of the training images in pixels.

    It grows in a straight line from ``progressive_resolution`` × ``full``, in multiples of 4 and
    never below 8, to ``full`` after 70 % of the epochs; the last epoch has it in any case.
    """
    start = settings.progressive_resolution
    grown = min(1.0, share_done(epoch, settings.epochs) / GROWN_AFTER)
    share = start + (1.0 - start) * grown
    if share >= 1.0 or epoch >= settings.epochs:
        return full
    stepped = SIDE_STEP * round(share * full / SIDE_STEP)
    return min(full, max(SMALLEST_SIDE, stepped))


def is_on_subset(settings: TrainingSettings, epoch: int) -> bool:
    """Return whether an epoch trains on the subset only."""
    is_early = share_done(epoch, settings.epochs) < settings.subset_until
    return settings.subset_fraction < 1.0 and is_early


def subset_rows(labels_n: Tensor, fraction: float, seed: int) -> Tensor:
    """Return the rows of a subset, shape (m,): chosen by the seed, every class with its share."""
    labels = labels_n.cpu().numpy()
    chosen = stratified_rows(
        labels,
        max(1, round(fraction * len(labels))),
        keep=0,
        rng=np.random.default_rng([seed, _SUBSET_DRAW]),
    )
    return torch.from_numpy(chosen).to(labels_n.device)


def resized(images_bchw: Tensor, side: int) -> Tensor:
    """Return the images at another side, as floats; as they are when they have it already."""
    if images_bchw.shape[-1] == side:
        return images_bchw
    return F.interpolate(
        images_bchw.float(), size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )


def micro_batches(count: int, accumulation: int) -> Iterator[slice]:
    """Yield the parts of a batch of ``count`` images, sizes as even as can be.

    There are ``accumulation`` of them, or fewer where one would hold less than two images, which
    batch normalisation cannot do with.
    """
    parts = min(accumulation, max(1, count // 2))
    ends = [count * (part + 1) // parts for part in range(parts)]
    for start, end in zip([0, *ends], ends, strict=False):
        yield slice(start, end)


def loss_mass(targets: Tensor, class_weights_k: Tensor | None) -> float | Tensor:
    """Return what a mean loss is divided by: images, or the sum of their classes' weights.

    Args:
        targets: Class indices (b,), or shares of classes (b, k).
        class_weights_k: Weights of the classes, when the loss has any.
    """
    if class_weights_k is None or targets.dim() > 1:
        return len(targets)
    return class_weights_k[targets].sum()


def lowered_precision(asked: str, device: str) -> torch.dtype | None:
    """Return the autocast type that a precision stands for, None for plain fp32.

    On a CPU "auto" is fp32: bf16 autocast was 2 to 3 times slower there for these networks.

    Args:
        asked: "auto", "fp32", "bf16" or "fp16".
        device: "cpu" or "cuda:N".

    Raises:
        TrialError: fp16 on a processor for which this torch cannot train in it.
    """
    if asked == "auto":
        is_fast = device.startswith("cuda") and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if is_fast else None
    if asked == "fp16" and device.startswith("cpu"):
        _refuse_unless_fp16_trains()
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[asked]


def _refuse_unless_fp16_trains() -> None:
    side = _PIXELS_OF_TRIAL_STEP
    weight = torch.ones((1, 1, 3, 3), requires_grad=True)
    try:
        with torch.autocast("cpu", dtype=torch.float16):
            F.conv2d(torch.ones((1, 1, side, side)), weight).float().sum().backward()
    except (RuntimeError, ValueError) as error:
        raise TrialError(
            f"precision fp16 cannot be trained in on this processor ({_first_line(error)}); "
            "set precision to bf16, fp32 or auto"
        ) from error


def refuse_unless_it_takes(
    model: nn.Module, side: int, images_nchw: Tensor, device: str | torch.device
) -> None:
    """Refuse a network whose layers fit one side of images only.

    Args:
        model: Takes pixels (b, c, h, w); left as it is.
        side: The smallest side it will be shown.
        images_nchw: Training images; the first is tried.
        device: Where the model is.

    Raises:
        TrialError: It does not take images of that side.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(resized(images_nchw[:1].to(device), side))
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, ValueError) as error:
        raise TrialError(
            f"the network does not take images of {side} px, which progressive_resolution begins "
            f"with ({_first_line(error)}); set progressive_resolution to 1 for it"
        ) from error
    finally:
        model.train(was_training)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

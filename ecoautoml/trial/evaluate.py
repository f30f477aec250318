"""Scores of a model on images: of the network while it trains, of the exported file at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ecoautoml.data.tensors import ImageTensors, batches
from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes import base
from ecoautoml.runtimes.base import Logits, Session

EVALUATION_BATCH = 256
PARITY_TOLERANCE: dict[str, float] = {
    "fp32": 1e-2,
    "fp16": 5e-2,
    "bf16": 0.15,
    "int8": 0.5,
    "int8_dynamic": 0.5,
}
"""Largest difference allowed between the logits of the network and of its exported file, relative
to the largest logit, by the file's precision: in fp32 only the order of summation differs; int8 may
lose accuracy, which is scored, but may not be another network."""
PARITY_IMAGES = 16
"""Images on which the two are compared."""

Labels = npt.NDArray[np.int64]


def network_logits(
    module: nn.Module, images: ImageTensors, device: str, between_steps: Callable[[], None]
) -> Logits:
    """Return logits (n, k) of a torch module, in evaluation mode."""
    module.eval()
    parts = []
    with torch.inference_mode():
        for images_bchw, _ in batches(images, EVALUATION_BATCH, generator=None, drop_last=False):
            between_steps()
            parts.append(module(images_bchw.to(device)).float().cpu().numpy())
    return np.concatenate(parts)


def session_logits(session: Session, images: ImageTensors) -> Logits:
    """Return logits (n, k) of an exported model in its runtime."""
    return base.session_logits(session, images.images_nchw.numpy())


def check_parity(
    session: Session, module: nn.Module, images: ImageTensors, precision: str = "fp32"
) -> None:
    """Compare the exported file with the network on a few real images.

    Raises:
        RuntimeExportError: They disagree by more than the file's precision explains.
    """
    n = PARITY_IMAGES
    few = ImageTensors(images_nchw=images.images_nchw[:n], labels=images.labels[:n])
    exported = session_logits(session, few)
    original = network_logits(module, few, str(next(module.parameters()).device), lambda: None)
    gap = float(np.abs(exported - original).max())
    largest = max(1.0, float(np.abs(original).max()))
    allowed = PARITY_TOLERANCE[precision] * largest
    if not gap <= allowed:
        raise RuntimeExportError(
            f"the exported file ({precision}) disagrees with the network: logits differ by up to "
            f"{gap:.3g} on {len(few.labels)} images, where {allowed:.3g} is allowed"
        )


def scores(logits: Logits, labels: Labels, names: Iterable[str]) -> dict[str, float]:
    """Return the named validation scores, each within [0, 1].

    Args:
        logits: Shape (n, k).
        labels: Shape (n,), class numbers.
        names: Columns such as "validation_macro_f1"; accuracy is always among the result.
    """
    predicted = logits.argmax(axis=1)
    result = {"validation_accuracy": float((predicted == labels).mean())}
    for name in names:
        if name != "validation_accuracy":
            result[name] = _SCORES[name](logits, predicted, labels)
    return result


def _auroc(logits: Logits, predicted: Labels, labels: Labels) -> float:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = shifted / shifted.sum(axis=1, keepdims=True)
    one_hot = np.eye(logits.shape[1])[labels]
    present = one_hot.any(axis=0) & ~one_hot.all(axis=0)  # undefined for absent classes
    return float(_metrics().roc_auc_score(one_hot[:, present], shares[:, present], average="macro"))


def _top5(logits: Logits, predicted: Labels, labels: Labels) -> float:
    best = np.argsort(logits, axis=1)[:, -5:]
    return float((best == labels[:, None]).any(axis=1).mean())


def _balanced(logits: Logits, predicted: Labels, labels: Labels) -> float:
    # recall over the classes present: scikit-learn's own warns about predicted absent ones
    return float(
        _metrics().recall_score(
            labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
        )
    )


def _macro_f1(logits: Logits, predicted: Labels, labels: Labels) -> float:
    return float(_metrics().f1_score(labels, predicted, average="macro", zero_division=0))


def _metrics() -> Any:
    """Return scikit-learn's scores, imported late: a quarter of a worker's start, rarely needed."""
    from sklearn import metrics

    return metrics


_SCORES: dict[str, Callable[[Logits, Labels, Labels], float]] = {
    "validation_balanced_accuracy": _balanced,
    "validation_macro_f1": _macro_f1,
    "validation_auroc": _auroc,
    "validation_top5_accuracy": _top5,
}

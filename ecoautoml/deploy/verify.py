"""Whether an exported file says what the network says, on real images of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ecoautoml.data import PreparedData
from ecoautoml.data.pixels import resized_pixels
from ecoautoml.data.prepared import images_path
from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import Pixels, Session, calibration_rows, session_logits

if TYPE_CHECKING:
    from torch import nn

IMAGES = 64
"""Validation images both are asked for."""
TOLERANCES = {"fp32": 1e-2, "fp16": 5e-2, "bf16": 1e-1}
"""Largest difference between logits, relative to the largest logit (at least 1)."""
MIN_AGREEMENT = 0.9
"""Share of images on which precisions without a tolerance must name the network's class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far an exported file and its network agree.

    Attributes:
        n_images: Validation images compared.
        largest_gap: Largest difference between two logits, relative to the largest logit.
        same_class: Share of images given the same class.
        tolerance: Largest gap allowed; None where the share of images is judged.
    """

    n_images: int
    largest_gap: float
    same_class: float
    tolerance: float | None

    @property
    def is_enough(self) -> bool:
        """Return whether the file may be used for the network."""
        if self.tolerance is None:
            return self.same_class >= MIN_AGREEMENT
        return self.largest_gap <= self.tolerance

    @property
    def words(self) -> str:
        """Return it as the end of a sentence."""
        allowed = (
            f"{MIN_AGREEMENT:.0%} must be given the same class"
            if self.tolerance is None
            else f"{self.tolerance:g} is allowed"
        )
        return (
            f"on {self.n_images} validation images logits differ by up to {self.largest_gap:.2g} "
            f"of the largest, {self.same_class:.1%} are given the same class; {allowed}"
        )


def validation_images(prepared: PreparedData, side: int, count: int = IMAGES) -> Pixels:
    """Return the first validation images at a size, shape (n, c, side, side)."""
    return _some(prepared, "validation", side, slice(count))


def training_images(prepared: PreparedData, side: int) -> Pixels:
    """Return the training images int8 takes its ranges from, shape (n, c, side, side).

    They are those that a trial takes.
    """
    return _some(prepared, "train", side, calibration_rows(prepared.counts["train"]))


def agreement(session: Session, module: nn.Module, pixels: Pixels, precision: str) -> Agreement:
    """Compare a loaded file with its network.

    Args:
        session: The file.
        module: The network, on the CPU.
        pixels: Images (n, c, h, w), at least one.
        precision: Of the file; decides what is allowed.

    Raises:
        RuntimeExportError: They disagree by more than the precision explains; holds the numbers.
    """
    import torch

    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(pixels)).float().numpy()
    found = session_logits(session, pixels)
    gap = float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))
    result = Agreement(
        n_images=len(pixels),
        largest_gap=gap if np.isfinite(found).all() else float("inf"),
        same_class=float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        tolerance=TOLERANCES.get(precision),
    )
    if not result.is_enough:
        raise RuntimeExportError(f"the exported file disagrees with the network: {result.words}")
    return result


def _some(
    prepared: PreparedData, split: str, side: int, rows: slice | npt.NDArray[np.int64]
) -> Pixels:
    mapped = np.load(images_path(Path(prepared.folder), split), mmap_mode="r")
    return np.stack([resized_pixels(np.array(one), side) for one in mapped[rows]])

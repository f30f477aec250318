"""scikit-learn's bundled digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from ecoautoml.config.models import DigitsData
from ecoautoml.data.sources.base import DataSource, RawSplit, RawSplits

_BRIGHTEST = 16.0  # the digits' pixels are 0..16


class DigitsSource(DataSource[DigitsData]):
    """1,797 real grey images of 8×8 pixels in 10 classes; needs neither files nor network."""

    def read(self, config: DigitsData) -> RawSplits:
        """Return all digits as training images."""
        bunch = load_digits()
        images = np.rint(bunch.images * (255.0 / _BRIGHTEST)).astype(np.uint8)
        return RawSplits(
            class_names=tuple(str(name) for name in bunch.target_names),
            train=RawSplit(images=list(images), labels=bunch.target.astype(np.int64)),
        )

    def stamped_paths(self, config: DigitsData) -> tuple[Path, ...]:
        """Return nothing: the digits do not change."""
        return ()

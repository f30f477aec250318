"""Tiny images for the tests of this room."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(seed: int, *, size: tuple[int, int] = (8, 8), channels: int = 1) -> np.ndarray:
    """Return random pixels, (h, w) or (h, w, c); ``size`` is (width, height)."""
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes class folders of PNGs: make_folder({"cat": 5, "dog": 5})."""

    def make(
        classes: dict[str, int],
        at: str = "images",
        *,
        size: tuple[int, int] = (8, 8),
        channels: int = 1,
    ) -> Path:
        root = tmp_path / at
        for label, (name, count) in enumerate(classes.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = picture(1000 * label + number, size=size, channels=channels)
                Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
        return root

    return make

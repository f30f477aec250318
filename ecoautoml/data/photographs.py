"""Real images of any size and number, for measuring a model whose own images are not at hand."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

SEED = 0


def photograph_crops(n: int, channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return crops of the two photographs that come with scikit-learn, shape (n, c, h, w).

    Power depends on the values, so zeros or noise would measure something else
    (arXiv 2212.08805); the same crops are returned every time.

    Args:
        n: Number of images.
        channels: 1 (grey), 3, or any other number (channels repeat).
        height: Pixels.
        width: Pixels.
    """
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    draws = np.random.default_rng(SEED)
    crops = []
    for index in range(n):
        image_hwc = photographs[index % len(photographs)]
        side = int(draws.integers(min(image_hwc.shape[:2]) // 4, min(image_hwc.shape[:2]) + 1))
        top, left = (int(draws.integers(0, length - side + 1)) for length in image_hwc.shape[:2])
        crop = torch.from_numpy(image_hwc[top : top + side, left : left + side].copy())
        resized_chw = F.interpolate(
            crop.permute(2, 0, 1)[None].float(),
            size=(height, width),
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )[0]
        crops.append(_with_channels(resized_chw.round().clamp(0, 255).byte().numpy(), channels))
    return np.stack(crops)


def _with_channels(image_chw: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if channels == 1:
        image_chw = image_chw.mean(axis=0, keepdims=True).round().astype(np.uint8)
    return np.resize(image_chw, (channels, *image_chw.shape[1:]))  # repeats where there are more

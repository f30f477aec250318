"""Data as they stand on disk once prepared: one pair of .npy files per split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")

_ROWS_PER_COPY = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedData:
    """Where prepared images lie, and what there is to know of them.

    Attributes:
        folder: Folder of the .npy files.
        class_names: Class names; a label is an index into them.
        channels: 1 (grey) or 3 (RGB).
        image_size: Side of the square images in pixels.
        counts: Images per split ("train", "validation", "test").
        class_counts: Training images per class, in the order of ``class_names``; each at least 1.
        mean: Mean of the training images per channel, pixels in [0, 1].
        std: Their standard deviation per channel, at least 1/255 so that it can be divided by.
        notes: Sentences a person should be told (files skipped, classes dropped, ...).
        duplicates: Training images that are there twice, see `ecoautoml.data.duplicates`: by
            "validation" and "test" those with the pixels of an image there; with
            ``data.deduplicate`` also "training", "contrary" and "dropped", how many were left out.
    """

    folder: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int
    counts: Mapping[str, int]
    class_counts: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()
    duplicates: Mapping[str, int] = field(default_factory=dict)


def images_path(folder: str | Path, split: str) -> Path:
    """Return where the images of a split lie."""
    return Path(folder) / f"{split}_images.npy"


def labels_path(folder: str | Path, split: str) -> Path:
    """Return where the labels of a split lie."""
    return Path(folder) / f"{split}_labels.npy"


def save_arrays(
    folder: Path,
    split: str,
    images_nchw: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    rows: NDArray[np.int64] | None = None,
    channels: int | None = None,
) -> None:
    """Write one split.

    Args:
        folder: An existing folder.
        split: "train", "validation" or "test".
        images_nchw: Images, shape (n, channels, size, size); may be memory-mapped, it is read
            a part at a time.
        labels: Class indices, shape (n,).
        rows: Which images to write, in this order; None: all.
        channels: Write only the first so many channels; None: all.
    """
    chosen = np.arange(len(labels)) if rows is None else rows
    kept = images_nchw.shape[1] if channels is None else channels
    out = create_images(
        images_path(folder, split), (len(chosen), kept, images_nchw.shape[2], images_nchw.shape[3])
    )
    for start in range(0, len(chosen), _ROWS_PER_COPY):
        part = chosen[start : start + _ROWS_PER_COPY]
        out[start : start + len(part)] = images_nchw[part, :kept]
    out.flush()
    np.save(labels_path(folder, split), labels[chosen].astype(np.int64, copy=False))


def create_images(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Return a new writable memory-mapped uint8 array in a .npy file."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def load_images(prepared: PreparedData, split: str) -> NDArray[np.uint8]:
    """Return the images of a split, shape (n, channels, size, size), memory-mapped, read-only."""
    images: NDArray[np.uint8] = np.load(images_path(prepared.folder, split), mmap_mode="r")
    return images


def load_labels(prepared: PreparedData, split: str) -> NDArray[np.int64]:
    """Return the labels of a split, shape (n,): indices into ``prepared.class_names``."""
    labels: NDArray[np.int64] = np.load(labels_path(prepared.folder, split))
    return labels

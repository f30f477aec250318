"""All images of a source → uint8 arrays on disk, several at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ecoautoml.data.decode import Header, UnreadableImageError, decode, read_header
from ecoautoml.data.prepared import create_images
from ecoautoml.data.sources.base import RawImage, RawSplit

T = TypeVar("T")

LARGEST_DEFAULT_SIDE = 224
_IMAGES_PER_TASK = 256
# Below this side most of the time goes into Python itself, and threads only get in each other's
# way: on two cores, two took about 10 % longer than one at 28 pixels and a third less at 256.
_SMALLEST_SIDE_FOR_THREADS = 128
_SAMPLE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedSplit:
    """One split, decoded.

    Attributes:
        images_nchw: Pixels, shape (n, channels, size, size), memory-mapped; rows of images that
            could not be read hold nothing of use.
        labels: Class indices, shape (n,).
        unreadable: Row → name of the image and why it could not be read.
    """

    images_nchw: NDArray[np.uint8]
    labels: NDArray[np.int64]
    unreadable: Mapping[int, str]

    def readable_rows(self) -> NDArray[np.int64]:
        """Return the rows that hold an image."""
        rows = np.arange(len(self.labels))
        return np.setdiff1d(rows, np.fromiter(self.unreadable, np.int64, len(self.unreadable)))


def decode_splits(
    splits: Mapping[str, RawSplit], folder: Path, *, size: int | None, channels: int | None
) -> dict[str, DecodedSplit]:
    """Return every split decoded to one size and number of channels.

    Args:
        splits: Splits by name, "train" among them.
        folder: Where the arrays are written.
        size: Side in pixels; None: the median of the training images' shorter sides, at most
            `LARGEST_DEFAULT_SIDE`.
        channels: 1 or 3; None: 1 when the format of every image is without colour, else 3.
    """
    with ThreadPoolExecutor(_workers(splits["train"].images)) as pool:
        if size is None or channels is None:
            headers = {name: _headers(split.images, pool) for name, split in splits.items()}
            size = size or _median_side(headers["train"])
            channels = channels or _common_channels(headers.values())
        return {
            name: _decode_split(split, name, folder, size, channels, pool)
            for name, split in splits.items()
        }


def _workers(images: Sequence[RawImage]) -> int:
    """Return how many threads decode: one per core, or a single one for tiny images."""
    sample = _headers_of(images, range(0, len(images), max(1, len(images) // _SAMPLE)))
    is_tiny = _median_side(sample) < _SMALLEST_SIDE_FOR_THREADS
    return 1 if is_tiny else os.cpu_count() or 1


def _headers(images: Sequence[RawImage], pool: ThreadPoolExecutor) -> list[Header]:
    parts = _in_parts(lambda rows: _headers_of(images, rows), len(images), pool)
    return [header for part in parts for header in part]


def _headers_of(images: Sequence[RawImage], rows: range) -> list[Header]:
    found = []
    for row in rows:
        try:
            found.append(read_header(images[row]))
        except (UnreadableImageError, OSError, ValueError):
            continue  # decoding meets it again, and names it
    return found


def _median_side(headers: Sequence[Header]) -> int:
    if not headers:
        return LARGEST_DEFAULT_SIDE
    return min(round(float(np.median([h.short_side for h in headers]))), LARGEST_DEFAULT_SIDE)


def _common_channels(headers: Iterable[Sequence[Header]]) -> int:
    return 1 if all(header.is_grey for part in headers for header in part) else 3


def _decode_split(
    split: RawSplit, name: str, folder: Path, size: int, channels: int, pool: ThreadPoolExecutor
) -> DecodedSplit:
    count = len(split.labels)
    out = create_images(folder / f"{name}_decoded.npy", (count, channels, size, size))

    def work(rows: range) -> dict[int, str]:
        unreadable = {}
        for row in rows:
            try:
                out[row] = decode(split.images[row], size, channels)
            except (UnreadableImageError, OSError, ValueError) as error:
                label = split.names[row] if split.names is not None else f"{name} image {row}"
                unreadable[row] = f"{label}: {error}"
        return unreadable

    unreadable: dict[int, str] = {}
    for part in _in_parts(work, count, pool):
        unreadable.update(part)
    return DecodedSplit(images_nchw=out, labels=split.labels, unreadable=unreadable)


def _in_parts(work: Callable[[range], T], count: int, pool: ThreadPoolExecutor) -> Iterator[T]:
    parts = [
        range(start, min(start + _IMAGES_PER_TASK, count))
        for start in range(0, count, _IMAGES_PER_TASK)
    ]
    return pool.map(work, parts)

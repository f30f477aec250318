"""Prepared data as tensors: bytes in memory, converted to floats one batch at a time.

Shape letters: n images, b images of a batch, c channels, h height, w width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecoautoml.data.pixels import resized_pixels
from ecoautoml.data.prepared import PreparedData, images_path, load_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTensors:
    """The images of one split at one resolution.

    Attributes:
        images_nchw: Pixels, uint8, shape (n, c, h, w).
        labels: Class indices, int64, shape (n,).
    """

    images_nchw: Tensor
    labels: Tensor

    @property
    def size_bytes(self) -> int:
        """Return the bytes both tensors take."""
        return int(self.images_nchw.nbytes + self.labels.nbytes)


def load_tensors(prepared: PreparedData, split: str, resolution: int) -> ImageTensors:
    """Return a split at a resolution, on the CPU.

    At the prepared size the images stay memory-mapped, so that workers on one machine share them
    (copy on write: changing them changes no file). At another size they are resized with
    antialiased bilinear interpolation, one by one.

    Args:
        prepared: The data.
        split: "train", "validation" or "test".
        resolution: Side of the images in pixels.
    """
    mapped = np.load(images_path(prepared.folder, split), mmap_mode="c")
    is_resized = resolution != prepared.image_size
    images_nchw = _resized(mapped, resolution) if is_resized else torch.from_numpy(mapped)
    labels = torch.from_numpy(load_labels(prepared, split))
    return ImageTensors(images_nchw=images_nchw, labels=labels)


def _resized(images_nchw: NDArray[np.uint8], resolution: int) -> Tensor:
    """Return images at another size, exactly as an exported model's images are brought to it."""
    out = np.empty((*images_nchw.shape[:2], resolution, resolution), np.uint8)
    for row, pixels in enumerate(images_nchw):
        out[row] = resized_pixels(pixels, resolution)
    return torch.from_numpy(out)


class TensorCache:
    """Keeps the splits used last, so that trials of one resolution resize only once.

    Args:
        prepared: The data.
        max_bytes: Bytes to keep at most; a split larger than that is handed out but not kept.
    """

    def __init__(self, prepared: PreparedData, max_bytes: int) -> None:
        self._prepared = prepared
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, int], ImageTensors] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Return the bytes kept now."""
        return sum(tensors.size_bytes for tensors in self._kept.values())

    def get(self, split: str, resolution: int) -> ImageTensors:
        """Return a split at a resolution, from memory when it was used lately."""
        key = (split, resolution)
        tensors = self._kept.pop(key, None) or load_tensors(self._prepared, split, resolution)
        self._kept[key] = tensors
        while self._kept and self.size_bytes > self._max_bytes:
            self._kept.popitem(last=False)
        return tensors


def batches(
    tensors: ImageTensors,
    batch_size: int,
    *,
    generator: torch.Generator | None,
    drop_last: bool,
    rows_m: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of images (uint8, (b, c, h, w), channels last in memory) and labels (b,).

    Args:
        tensors: The images, on any device.
        batch_size: Images per batch.
        generator: Where the order comes from; None: the order of the data.
        drop_last: Leave out a last batch that is not full; when it is the only one it is yielded
            all the same, so that an epoch is never empty.
        rows_m: Rows to take batches from, int64, shape (m,), where the images are; None: all.
    """
    n = len(tensors.labels) if rows_m is None else len(rows_m)
    order = rows_m
    if generator is not None:
        order = torch.randperm(n, generator=generator, device=generator.device)
        order = order.to(tensors.labels.device)
        order = order if rows_m is None else rows_m[order]
    end = n - n % batch_size if drop_last and n >= batch_size else n
    for start in range(0, end, batch_size):
        chosen = slice(start, start + batch_size) if order is None else order[start:][:batch_size]
        images_bchw = tensors.images_nchw[chosen]
        yield images_bchw.contiguous(memory_format=torch.channels_last), tensors.labels[chosen]

"""One image, in whatever form it is kept → uint8 pixels of the wanted size and channels.

Array shapes: h height, w width, c channels.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ecoautoml.data.pixels import square_pixels
from ecoautoml.data.sources.base import RawImage

_GREY_MODES = ("1", "L", "LA", "La", "F")
# What Pillow raises on broken files, depending on format and on where the damage is.
_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
)


class UnreadableImageError(Exception):
    """An image cannot be decoded; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is known of an image without decoding it.

    Attributes:
        short_side: Length of the shorter side in pixels.
        is_grey: Whether its format has no colour.
    """

    short_side: int
    is_grey: bool


def read_header(raw: RawImage) -> Header:
    """Return size and colour of an image without decoding its pixels.

    Raises:
        UnreadableImageError: It is not an image.
    """
    if isinstance(raw, np.ndarray):
        return Header(short_side=min(raw.shape[:2]), is_grey=raw.ndim == 2 or raw.shape[2] < 3)
    try:
        with _opened(raw) as image:
            return Header(short_side=min(image.size), is_grey=_is_grey(image))
    except _PILLOW_ERRORS as error:
        raise UnreadableImageError(_reason(error)) from error


def decode(raw: RawImage, size: int, channels: int) -> NDArray[np.uint8]:
    """Return an image as uint8 pixels, shape (channels, size, size), as `square_pixels` makes them.

    Args:
        raw: The image.
        size: Side in pixels.
        channels: 1 (grey) or 3 (RGB).

    Raises:
        UnreadableImageError: It is not an image, or a damaged one.
    """
    try:
        if isinstance(raw, np.ndarray):
            if raw.shape == ((size, size) if channels == 1 else (size, size, 3)):
                return raw[None] if channels == 1 else raw.transpose(2, 0, 1)
            return square_pixels(_image_from_array(raw), size, channels)
        with _opened(raw) as image:
            return square_pixels(image, size, channels)
    except _PILLOW_ERRORS as error:
        raise UnreadableImageError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return str(error) or type(error).__name__


def _opened(raw: bytes | Path | Image.Image | None) -> Image.Image:
    if isinstance(raw, Image.Image):
        return raw.copy()  # the caller closes what it gets
    if isinstance(raw, bytes):
        return Image.open(io.BytesIO(raw))
    if raw is None:
        raise ValueError("no image bytes")
    return Image.open(raw)


def _image_from_array(array_hwc: NDArray[np.uint8]) -> Image.Image:
    if array_hwc.ndim == 3 and array_hwc.shape[2] == 1:
        array_hwc = array_hwc[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array_hwc))


def _is_grey(image: Image.Image) -> bool:
    return image.mode in _GREY_MODES or image.mode.startswith("I")

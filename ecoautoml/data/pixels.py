"""One opened image → uint8 pixels of the wanted size and channels, with NumPy and Pillow alone.

This file stands by itself: an exported model's ``example.py`` holds a copy of it, so that images
are brought to size there exactly as they were for training.

Array shapes: h height, w width, c channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")


def square_pixels(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Return an image as uint8 pixels, shape (channels, size, size).

    The shorter side is brought to ``size`` with antialiasing and the centre is cut out of the
    longer one. A photo's EXIF rotation is applied, transparency is laid on white, colours become
    grey by luma (or grey becomes three equal channels), and 16 bits are divided down to 8.

    Args:
        image: The image, perhaps not decoded yet.
        size: Side in pixels.
        channels: 1 (grey) or 3 (RGB).
    """
    # A JPEG can be decoded at 1/2, 1/4 or 1/8: far cheaper for photographs.
    image.draft(None, (2 * size, 2 * size))
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    square = _square(_flattened(image, "L" if channels == 1 else "RGB"), size)
    pixels = np.asarray(square)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def resized_pixels(pixels_chw: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return square pixels at another size: bilinear, antialiased, as training resizes them."""
    if pixels_chw.shape[-1] == size:
        return pixels_chw
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in pixels_chw]
    resized = [np.asarray(one.resize((size, size), Image.Resampling.BILINEAR)) for one in planes]
    pixels: NDArray[np.uint8] = np.rint(np.stack(resized)).clip(0, 255).astype(np.uint8)
    return pixels


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in 8-bit "L" or "RGB", without transparency."""
    if image.mode == mode:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bit(image)
    elif image.mode in ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def _eight_bit(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(f"pixels of mode {image.mode} are neither 8 nor 16 bits")
    return Image.fromarray(np.rint(values / 257.0).astype(np.uint8))


def _square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)

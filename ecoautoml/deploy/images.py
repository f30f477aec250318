"""What a person gives as images → one item each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ecoautoml.data.decode import UnreadableImageError, read_header
from ecoautoml.data.sources.base import RawImage
from ecoautoml.data.sources.image_folder import files_below, is_image
from ecoautoml.errors import DataError

ImageLike: TypeAlias = str | Path | Image.Image | NDArray[np.uint8]
"""A file, a Pillow image, or uint8 pixels (h, w) or (h, w, c) with 1, 3 or 4 channels."""
Images: TypeAlias = ImageLike | Iterable[ImageLike]
"""One image or several; an array may be a batch: (n, h, w) or (n, h, w, c)."""

_CHANNELS = (1, 3, 4)


def listed(images: Images | Any) -> list[ImageLike]:
    """Return the images one by one.

    An array of three dimensions is one image when its last is 1, 3 or 4 long, else a batch of
    grey ones.
    """
    if isinstance(images, str | Path | Image.Image):
        return [images]
    if isinstance(images, np.ndarray):
        is_one = images.ndim == 2 or (images.ndim == 3 and images.shape[2] in _CHANNELS)
        return [images] if is_one else list(images)
    if not isinstance(images, Iterable):
        raise DataError(_wrong(images))
    return list(images)


def raw_image(image: Any) -> RawImage:
    """Return one image as the decoder takes it.

    Raises:
        DataError: It is none, is not there, or its pixels are not uint8.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | Path):
        path = Path(image)
        if not path.is_file():
            kind = "a folder, not an image" if path.is_dir() else "not there"
            raise DataError(f"{path} is {kind}")
        return path
    if not isinstance(image, np.ndarray):
        raise DataError(_wrong(image))
    if image.dtype != np.uint8:
        raise DataError(
            f"an image of {image.dtype} was given; give uint8 pixels, 0 to 255 (the model "
            "normalises them itself)"
        )
    is_shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in _CHANNELS)
    if not is_shaped or 0 in image.shape:
        raise DataError(
            f"an array of shape {image.shape} is no image; give (h, w), (h, w, c) with 1, 3 or 4 "
            "channels, or a batch of them"
        )
    return image


def name_of(image: Any, index: int) -> str:
    """Return what an image is called in messages."""
    return str(image) if isinstance(image, str | Path) else f"image {index}"


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the image files among files and below folders, in the order given.

    Below folders, hidden files and those that are not called like images are passed over.

    Raises:
        DataError: A path is not there, a folder holds no images, or a file given by name is of
            another type.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in files_below(path) if is_image(file)]
            if not inside:
                raise DataError(f"{path} holds no image files")
            found.extend(inside)
        elif not path.exists():
            raise DataError(f"there is no {path}; give image files, or folders of them")
        else:
            _check_type(path)
            found.append(path)
    return found


def _check_type(path: Path) -> None:
    """Refuse a file that neither is called like an image nor begins like one."""
    if is_image(path):
        return
    try:
        read_header(path)
    except UnreadableImageError:
        raise DataError(f"{path} is not an image; give PNG, JPEG or other image files") from None


def _wrong(image: Any) -> str:
    return (
        f"a {type(image).__name__} is no image; give a path, a Pillow image, a NumPy array of "
        "uint8 pixels, or several of these"
    )

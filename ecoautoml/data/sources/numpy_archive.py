"""A NumPy archive with x_train and y_train."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoautoml.config.models import NumpyData
from ecoautoml.data.sources.base import DataSource, RawSplit, RawSplits, require_path
from ecoautoml.data.sources.labels import LabelTable
from ecoautoml.errors import DataError

_SUFFIX_OF_SPLIT = {"train": "train", "validation": "val", "test": "test"}


class NumpySource(DataSource[NumpyData]):
    """x_train and y_train, and optionally x_val, y_val, x_test and y_test, in one .npz file."""

    def read(self, config: NumpyData) -> RawSplits:
        """Return the arrays as images and labels."""
        path = require_path(config.path)
        arrays = _load(path)
        labels = _labels(arrays, "y_train", path)
        table = LabelTable.from_values(labels, f"y_train of {path}")
        splits = {
            split: _split(arrays, suffix, table, path)
            for split, suffix in _SUFFIX_OF_SPLIT.items()
            if f"x_{suffix}" in arrays or split == "train"
        }
        return RawSplits(
            class_names=table.class_names,
            train=splits["train"],
            validation=splits.get("validation"),
            test=splits.get("test"),
        )

    def stamped_paths(self, config: NumpyData) -> tuple[Path, ...]:
        """Return the file."""
        return (config.path,)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"data.path: {path} cannot be read as a .npz archive ({error})") from error


def _get(arrays: Mapping[str, NDArray[Any]], name: str, path: Path) -> NDArray[Any]:
    if name not in arrays:
        raise DataError(
            f"data.path: {path} has no array {name!r}; it holds {', '.join(arrays) or 'nothing'}"
        )
    return arrays[name]


def _labels(arrays: Mapping[str, NDArray[Any]], name: str, path: Path) -> list[Any]:
    labels = _get(arrays, name, path)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iubU":
        raise DataError(
            f"data.path: {name} of {path} has shape {labels.shape} and type {labels.dtype}; it "
            f"must hold one integer or string per image (for one-hot labels: y.argmax(axis=1))"
        )
    values: list[Any] = labels.tolist()
    return values


def _split(
    arrays: Mapping[str, NDArray[Any]], suffix: str, table: LabelTable, path: Path
) -> RawSplit:
    images = _get(arrays, f"x_{suffix}", path)
    labels = _labels(arrays, f"y_{suffix}", path)
    _check_images(images, f"x_{suffix}", path)
    if len(images) != len(labels):
        raise DataError(
            f"data.path: {path} has {len(images)} images in x_{suffix} but {len(labels)} labels "
            f"in y_{suffix}; save one label per image"
        )
    where = f"y_{suffix} of {path}"
    return RawSplit(images=list(images), labels=table.encode(labels, where))


def _check_images(images: NDArray[Any], name: str, path: Path) -> None:
    if images.dtype != np.uint8:
        raise DataError(
            f"data.path: {name} of {path} has type {images.dtype}; save pixels as uint8 "
            f"(for values in 0..1: (x * 255).round().astype('uint8'))"
        )
    if images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4)):
        return
    hint = ""
    if images.ndim == 4 and images.shape[1] in (1, 3, 4):
        hint = " (channels stand first here: save x.transpose(0, 2, 3, 1))"
    raise DataError(
        f"data.path: {name} of {path} has shape {images.shape}; it must be (n, height, width) or "
        f"(n, height, width, channels) with 1, 3 or 4 channels{hint}"
    )

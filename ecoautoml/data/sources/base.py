"""What every source of images gives, and what they share."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from ecoautoml.errors import DataError

RawImage: TypeAlias = bytes | Path | Image.Image | NDArray[np.uint8] | None
"""Encoded bytes, a file, a Pillow image, uint8 pixels (h, w) or (h, w, c); None: it is missing."""

ConfigT = TypeVar("ConfigT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSplit:
    """The images of one split as they were found.

    Attributes:
        images: Images of any size; an item is read when it is asked for, from several threads.
        labels: Class of each, shape (n,): indices into ``RawSplits.class_names``.
        names: Name of each image for messages; None: they are numbered.
    """

    images: Sequence[RawImage]
    labels: NDArray[np.int64]
    names: Sequence[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSplits:
    """What a source holds.

    Attributes:
        class_names: Names of all classes, also of those without images.
        train: Training images.
        validation: Validation images; None when the source has none.
        test: Test images; None when the source has none.
        notes: Sentences a person should be told.
    """

    class_names: tuple[str, ...]
    train: RawSplit
    validation: RawSplit | None = None
    test: RawSplit | None = None
    notes: tuple[str, ...] = ()

    def present(self) -> dict[str, RawSplit]:
        """Return the splits that hold at least one image, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            name: split
            for name, split in named.items()
            if split is not None and len(split.labels) > 0
        }


class DataSource(ABC, Generic[ConfigT]):
    """One kind of data.

    `prepare_data` makes an instance and calls `stamped_paths` and then, only when nothing can be
    reused, `read`, both in the main process. Members import torch, where they need it, inside
    their own file and nowhere else.
    """

    @abstractmethod
    def read(self, config: ConfigT) -> RawSplits:
        """Return the images and labels.

        Raises:
            DataError: They are not there, or not as they should be; says what to do.
            MissingExtraError: A package is needed that is not installed.
        """

    @abstractmethod
    def stamped_paths(self, config: ConfigT) -> tuple[Path, ...]:
        """Return files and folders; prepared data are read anew once one of them changes."""


def require_path(path: Path) -> Path:
    """Return the path; raises ``DataError`` naming near ones when it does not exist."""
    if path.exists():
        return path
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"data: there is no {path}, not even its folder {folder}; correct the path")
    near = difflib.get_close_matches(path.name, [p.name for p in folder.iterdir()], n=3)
    hint = f"; did you mean {' or '.join(str(folder / name) for name in near)}?" if near else ""
    raise DataError(f"data: there is no {path}{hint or '; correct the path'}")


def shortened(items: Sequence[str], limit: int = 5) -> str:
    """Return the first few items as text: "a, b, c and 4 more"."""
    shown = ", ".join(items[:limit])
    return f"{shown} and {len(items) - limit} more" if len(items) > limit else shown

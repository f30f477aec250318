"""A folder with one folder of images per class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ecoautoml.config.models import ImageFolderData
from ecoautoml.data.sources.base import DataSource, RawSplit, RawSplits, require_path, shortened
from ecoautoml.data.sources.labels import LabelTable
from ecoautoml.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
_SPLIT_OF_FOLDER = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class ImageFolderSource(DataSource[ImageFolderData]):
    """Class folders, at the top or inside train/, val/ (valid/, validation/) and test/.

    Images may lie at any depth inside their class folder. Hidden files and folders are passed
    over; other files that are no images are ignored and noted.
    """

    def read(self, config: ImageFolderData) -> RawSplits:
        """Return the images of every class folder, in the order of their names."""
        root = require_path(config.path)
        if not root.is_dir():
            raise DataError(f"data.path: {root} is a file; image_folder needs a folder")
        roots = _split_folders(root)
        class_folders = {split: _class_folders(folder) for split, folder in roots.items()}
        names = sorted({name for folders in class_folders.values() for name in folders})
        if not names:
            raise DataError(_no_classes(roots["train"]))
        ignored: list[Path] = []
        splits = {
            split: _read_split(folders, LabelTable.from_names(names), root, ignored)
            for split, folders in class_folders.items()
        }
        if len(splits["train"].labels) == 0:
            raise DataError(
                f"data.path: the class folders of {roots['train']} hold no images "
                f"({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        return RawSplits(
            class_names=tuple(names),
            train=splits["train"],
            validation=splits.get("validation"),
            test=splits.get("test"),
            notes=_notes(ignored),
        )

    def stamped_paths(self, config: ImageFolderData) -> tuple[Path, ...]:
        """Return the folder."""
        return (config.path,)


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each split; the whole folder is "train" when it has no train/.

    A class may be called "train" too: only folders inside train/ make it a split.
    """
    found = {
        _SPLIT_OF_FOLDER[folder.name.lower()]: folder
        for folder in _subfolders(root)
        if folder.name.lower() in _SPLIT_OF_FOLDER
    }
    if "train" in found and _subfolders(found["train"]):
        return found
    others = [f.name for f in _subfolders(root) if f.name.lower() not in _SPLIT_OF_FOLDER]
    if found and not others and any(_subfolders(folder) for folder in found.values()):
        raise DataError(
            f"data.path: {root} has {', '.join(sorted(f.name for f in found.values()))} but no "
            f"train folder with class folders in it; add one"
        )
    return {"train": root}


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not _is_hidden(p.name))


def _class_folders(folder: Path) -> dict[str, Path]:
    return {sub.name: sub for sub in _subfolders(folder)}


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in {"__MACOSX", "Thumbs.db", "desktop.ini"}


def is_image(path: Path) -> bool:
    """Return whether a file is called like an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def _read_split(
    folders: Mapping[str, Path], table: LabelTable, root: Path, ignored: list[Path]
) -> RawSplit:
    images: list[Path] = []
    classes: list[str] = []
    for name, folder in folders.items():
        for path in files_below(folder):
            if is_image(path):
                images.append(path)
                classes.append(name)
            else:
                ignored.append(path)
    return RawSplit(
        images=images,
        labels=table.encode(classes, str(root)),
        names=[path.relative_to(root).as_posix() for path in images],
    )


def files_below(folder: Path) -> Iterable[Path]:
    """Yield all files below a folder but hidden ones, in an order that no file system decides."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (Path(parent) / name for name in sorted(files) if not _is_hidden(name))


def _no_classes(folder: Path) -> str:
    if any(is_image(path) for path in folder.iterdir()):
        return (
            f"data.path: {folder} holds images but no class folders; "
            f"put the images of each class into a folder of its own"
        )
    return (
        f"data.path: {folder} holds no class folders; "
        f"give a folder with one folder of images per class"
    )


def _notes(ignored: list[Path]) -> tuple[str, ...]:
    if not ignored:
        return ()
    names = shortened([path.name for path in ignored])
    return (f"ignored {len(ignored)} files that are not images ({names})",)

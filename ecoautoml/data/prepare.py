"""The ``data`` section of a configuration → arrays in a folder, ready for training."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ecoautoml.config.models import DataConfig
from ecoautoml.data.decoding import DecodedSplit, decode_splits
from ecoautoml.data.duplicates import (
    Duplicates,
    find_duplicates,
    look_for_leaks,
    notes_on,
    pixel_keys,
)
from ecoautoml.data.prepared import SPLITS, PreparedData, images_path, labels_path, save_arrays
from ecoautoml.data.sources import SOURCES, RawSplits
from ecoautoml.data.sources.auto import ConcreteData, resolve
from ecoautoml.data.sources.base import shortened
from ecoautoml.data.splits import stratified_rows
from ecoautoml.data.stamp import source_key
from ecoautoml.errors import DataError

logger = logging.getLogger(__name__)

_CHANNELS = {"auto": None, "grey": 1, "rgb": 3}
_ROWS_PER_LOOK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What prepared.json holds."""

    key: str
    data: PreparedData


_STORED = TypeAdapter(_Stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Which rows of which decoded split become which split."""

    class_names: tuple[str, ...]
    labels: Mapping[str, NDArray[np.int64]]
    rows: Mapping[str, tuple[str, NDArray[np.int64]]]
    notes: tuple[str, ...]
    duplicates: Mapping[str, int]


def prepare_data(config: DataConfig, folder: Path) -> PreparedData:
    """Return the data of a configuration as uint8 arrays in a folder.

    The source is read once. Every image is brought to one square size: its shorter side is
    resized with antialiasing and the centre is cut out of the longer one. Splits that the data
    do not bring are held out of the training images, stratified by class, with
    ``config.split_seed``; ``config.subset`` then thins out the training split only. Calling it
    again with the same configuration and an unchanged source reads nothing and returns the same.

    Args:
        config: The data section.
        folder: Where the arrays go; it is made or replaced as a whole, once everything is
            written. It must be empty, missing, or the folder of an earlier call.

    Raises:
        DataError: The images or labels cannot be used; says what to do.
        MissingExtraError: The source needs a package that is not installed.
    """
    concrete = resolve(config)
    source = SOURCES.get(concrete.kind)()
    key = source_key(concrete, source.stamped_paths(concrete))
    stored = _read_stored(folder)
    if stored is not None and stored.key == key:
        return replace(stored.data, folder=str(folder))
    _check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        arrays, scratch = Path(temporary) / "arrays", Path(temporary) / "scratch"
        arrays.mkdir()
        scratch.mkdir()
        data = _write(concrete, source.read(concrete), scratch, arrays)
        data = replace(data, folder=str(folder))
        (arrays / "prepared.json").write_bytes(
            _STORED.dump_json(_Stored(key=key, data=data), indent=1)
        )
        _put_in_place(arrays, folder, Path(temporary) / "replaced")
    logger.info("prepared %s images in %s", sum(data.counts.values()), folder)
    return data


def _read_stored(folder: Path) -> _Stored | None:
    """Return what an earlier call left, when it is whole."""
    try:
        stored = _STORED.validate_json((folder / "prepared.json").read_bytes())
    except (OSError, ValidationError):
        return None
    paths = [path(folder, split) for split in SPLITS for path in (images_path, labels_path)]
    return stored if all(path.exists() for path in paths) else None


def read_prepared(folder: Path) -> PreparedData | None:
    """Return what an earlier `prepare_data` has left in a folder; None where it is not whole."""
    stored = _read_stored(folder)
    return None if stored is None else replace(stored.data, folder=str(folder))


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and not (folder / "prepared.json").exists() and any(folder.iterdir()):
        raise DataError(f"data: {folder} holds other files; give prepared data a folder of its own")


def _put_in_place(arrays: Path, folder: Path, replaced: Path) -> None:
    if folder.exists():
        os.rename(folder, replaced)
    os.rename(arrays, folder)


def _write(config: ConcreteData, raw: RawSplits, scratch: Path, arrays: Path) -> PreparedData:
    present = raw.present()
    if "train" not in present:
        raise DataError("data: there is not a single training image; check the path and the split")
    decoded = decode_splits(
        present, scratch, size=config.image_size, channels=_CHANNELS[config.channels]
    )
    notes = [*raw.notes, *_check_unreadable(config, decoded)]
    plan = _plan(config, raw.class_names, decoded)
    channels, collapsed = _channels_kept(config, decoded)
    for split, (origin, rows) in plan.rows.items():
        save_arrays(
            arrays,
            split,
            decoded[origin].images_nchw,
            plan.labels[origin],
            rows=rows,
            channels=channels,
        )
    train, rows = plan.rows["train"]
    images = decoded[train].images_nchw
    mean, std = _mean_and_std(images, rows, channels)
    class_counts = np.bincount(plan.labels[train][rows], minlength=len(plan.class_names))
    return PreparedData(
        folder=str(arrays),
        class_names=plan.class_names,
        channels=channels,
        image_size=images.shape[-1],
        counts={split: len(plan.rows[split][1]) for split in SPLITS},
        class_counts=tuple(class_counts.tolist()),
        mean=mean,
        std=std,
        notes=(*notes, *plan.notes, *collapsed),
        duplicates=plan.duplicates,
    )


def _check_unreadable(config: ConcreteData, decoded: Mapping[str, DecodedSplit]) -> tuple[str, ...]:
    """Return a note about images that could not be read, or refuse them."""
    named = [text for split in decoded.values() for text in split.unreadable.values()]
    if not named:
        return ()
    total = sum(len(split.labels) for split in decoded.values())
    told = f"{len(named)} of {total} images could not be read ({shortened(named)})"
    if config.on_corrupt == "refuse":
        raise DataError(f"data: {told}; repair or remove them, or set data.on_corrupt: skip")
    if len(named) == total:
        raise DataError(f"data: {told}; give PNG, JPEG or other images that Pillow reads")
    return (f"skipped: {told}",)


def _plan(
    config: ConcreteData, class_names: tuple[str, ...], decoded: Mapping[str, DecodedSplit]
) -> _Plan:
    """Return which rows go where, after every check that needs the labels of readable images."""
    readable = {split: d.readable_rows() for split, d in decoded.items()}
    present = {split: decoded[split].labels[rows] for split, rows in readable.items()}
    kept = _classes_with_training_images(class_names, present)
    index_of = np.full(len(class_names), -1)
    index_of[kept] = np.arange(len(kept))
    names = tuple(class_names[index] for index in kept)
    labels = {split: index_of[d.labels] for split, d in decoded.items()}
    rows = _held_out(config, names, labels, readable)
    chosen, duplicates, notes = _training_rows(config, labels["train"], rows, decoded, len(names))
    rows["train"] = ("train", chosen)
    dropped = [name for name in class_names if name not in names]
    if dropped:
        notes = (f"dropped {len(dropped)} classes without images ({shortened(dropped)})", *notes)
    return _Plan(class_names=names, labels=labels, rows=rows, notes=notes, duplicates=duplicates)


def _classes_with_training_images(
    class_names: tuple[str, ...], present: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    kept = np.unique(present.get("train", np.empty(0, np.int64)))
    for split, labels in present.items():
        strange = [class_names[index] for index in np.setdiff1d(labels, kept)]
        if strange:
            raise DataError(
                f"data: the {split} images hold classes without training images "
                f"({shortened(strange)}); add training images, or remove these classes"
            )
    if len(kept) < 2:
        raise DataError(
            f"data: all training images are of one class ({class_names[kept[0]]}); "
            f"a classifier needs at least two"
        )
    return kept


def _held_out(
    config: ConcreteData,
    class_names: tuple[str, ...],
    labels: Mapping[str, NDArray[np.int64]],
    readable: Mapping[str, NDArray[np.int64]],
) -> dict[str, tuple[str, NDArray[np.int64]]]:
    """Return split → (decoded split it comes from, rows of it); "train" is what is left."""
    rows = {split: (split, found) for split, found in readable.items() if len(found)}
    fractions = {"test": config.test_fraction, "validation": config.validation_fraction}
    missing = {split: share for split, share in fractions.items() if split not in rows}
    _check_class_sizes(class_names, labels["train"][readable["train"]], list(missing))
    if sum(missing.values()) >= 1:
        raise DataError(
            f"data: validation_fraction {config.validation_fraction} and test_fraction "
            f"{config.test_fraction} leave nothing to train on; lower them"
        )
    available = np.full_like(labels["train"], -1)
    available[readable["train"]] = labels["train"][readable["train"]]
    total = len(readable["train"])
    for turn, (split, share) in enumerate(fractions.items()):
        if split in missing:
            keep = 2 if split == "test" and "validation" in missing else 1
            held_out = stratified_rows(
                available, round(share * total), keep=keep, rng=_rng(config, turn)
            )
            rows[split] = ("train", held_out)
            available[held_out] = -1
    rows["train"] = ("train", np.flatnonzero(available >= 0))
    return rows


def _training_rows(
    config: ConcreteData,
    labels: NDArray[np.int64],
    rows: Mapping[str, tuple[str, NDArray[np.int64]]],
    decoded: Mapping[str, DecodedSplit],
    n_classes: int,
) -> tuple[NDArray[np.int64], dict[str, int], tuple[str, ...]]:
    """Return the training rows to use, how many were there twice, and notes."""
    images, left, mode = decoded["train"].images_nchw, rows["train"][1], config.deduplicate
    of_others = {
        split: pixel_keys(decoded[origin].images_nchw, found)
        for split, (origin, found) in rows.items()
        if split != "train"
    }
    found: Duplicates | None = None
    if mode != "none":
        found = find_duplicates(images, labels, left, of_others, near=mode == "near")
        left = np.setdiff1d(left, found.dropped_m)
    available = np.full_like(labels, -1)
    available[left] = labels[left]
    chosen, notes = _subset(config, available, n_classes)
    if found is None:
        found = look_for_leaks(images, chosen, of_others)
    counts = dict(found.counts) if mode == "none" else found.counts_with_dropped()
    return chosen, counts, (*notes_on(found, mode=mode), *notes)


def _check_class_sizes(
    class_names: tuple[str, ...], labels: NDArray[np.int64], to_hold_out: list[str]
) -> None:
    needed = 1 + len(to_hold_out)
    counts = np.bincount(labels, minlength=len(class_names))
    small = [
        f"{name}: {count}"
        for name, count in zip(class_names, counts, strict=True)
        if count < needed
    ]
    if small:
        raise DataError(
            f"data: classes with too few images ({shortened(small)}); each needs at least "
            f"{needed} so that images can be held out for {' and '.join(to_hold_out)}; add images, "
            f"remove these classes, or bring {' and '.join(to_hold_out)} images of your own"
        )


def _subset(
    config: ConcreteData, available: NDArray[np.int64], n_classes: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the training rows to use, and a note when they are not what one would expect."""
    rows = np.flatnonzero(available >= 0)
    if config.subset is None:
        return rows, ()
    if config.subset < n_classes:
        raise DataError(
            f"data.subset: {config.subset} images cannot hold all {n_classes} classes; "
            f"set at least {n_classes}"
        )
    if config.subset > len(rows):
        note = f"subset of {config.subset} asked for, but there are only {len(rows)}: all are used"
        return rows, (note,)
    chosen = stratified_rows(available, config.subset, keep=0, rng=_rng(config, 2))
    return chosen, (f"trains on a subset of {len(chosen)} of {len(rows)} images",)


def _rng(config: ConcreteData, turn: int) -> np.random.Generator:
    """Return a generator of its own for each choice, so that none depends on another."""
    return np.random.default_rng([config.split_seed % 2**32, turn])


def _channels_kept(
    config: ConcreteData, decoded: Mapping[str, DecodedSplit]
) -> tuple[int, tuple[str, ...]]:
    """Return the channels to keep: 1 when images stored as colour turn out to be grey."""
    channels = decoded["train"].images_nchw.shape[1]
    if channels == 1 or config.channels != "auto":
        return channels, ()
    if not all(_is_grey(d.images_nchw, d.readable_rows()) for d in decoded.values()):
        return channels, ()
    return 1, ("every image is stored in colour but grey: one channel is kept",)


def _is_grey(images_nchw: NDArray[np.uint8], rows: NDArray[np.int64]) -> bool:
    return all(
        bool((part[:, 1:] == part[:, :1]).all())
        for part in (images_nchw[rows[at : at + 64]] for at in range(0, len(rows), 64))
    )


def _mean_and_std(
    images_nchw: NDArray[np.uint8], rows: NDArray[np.int64], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, pixels in [0, 1], from exact histograms."""
    histograms = np.zeros((channels, 256), np.int64)
    for start in range(0, len(rows), _ROWS_PER_LOOK):
        part = images_nchw[rows[start : start + _ROWS_PER_LOOK]]
        for channel in range(channels):
            histograms[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    levels = np.arange(256) / 255.0
    weights = histograms / histograms.sum(axis=1, keepdims=True)
    mean = weights @ levels
    variance = weights @ levels**2 - mean**2
    std = np.sqrt(np.maximum(variance, (1 / 255.0) ** 2))
    return tuple(mean.tolist()), tuple(std.tolist())

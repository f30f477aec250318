"""A trial's model → a folder that holds all that is needed to use it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ecoautoml.deploy.card import CARD_FILE, Card
from ecoautoml.deploy.checkpoints import Checkpoint
from ecoautoml.deploy.example import EXAMPLE_FILE, example_source
from ecoautoml.deploy.formats import FORMATS, Format, format_named
from ecoautoml.deploy.preprocessing import PREPROCESSING_FILE, Preprocessing
from ecoautoml.deploy.sources import (
    candidate_tree,
    described,
    own_batch_size,
    own_file,
    own_precision,
    own_runtime,
    prepared_data,
    run_of,
)
from ecoautoml.deploy.verify import Agreement, agreement, training_images, validation_images
from ecoautoml.errors import ConfigError, RunError, RuntimeExportError
from ecoautoml.result import SearchResult
from ecoautoml.runtimes.base import Pixels, Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export has written.

    Attributes:
        folder: The folder.
        preprocessing: The model's file, what it takes, its classes.
        is_copy: Whether the file is the trial's own, byte for byte: the one that was measured.
        agreement: How far it agrees with the network; None for a copy.
    """

    folder: Path
    preprocessing: Preprocessing
    is_copy: bool
    agreement: Agreement | None

    @property
    def files(self) -> tuple[Path, ...]:
        """Return all files of the folder."""
        names = (*self.preprocessing.files, PREPROCESSING_FILE, CARD_FILE, EXAMPLE_FILE)
        return tuple(self.folder / name for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What is exported: from which folder, in which format, for which calls."""

    result: SearchResult
    trial: int
    source: Path
    format: Format
    batch_size: int
    precision: str


def export_model(
    run: str | Path | SearchResult,
    trial: int,
    folder: str | Path,
    *,
    format: str | None = None,
    batch_size: int | None = None,
    precision: str | None = None,
    is_forced: bool = False,
) -> Exported:
    """Write a trial's model, and all that is needed to use it, into a folder of its own.

    The trial's own file is copied where it is what was asked for; else the model is exported from
    its checkpoint and held against the network on validation images of the run.

    Args:
        run: The run, or its folder.
        trial: Trial number.
        folder: A folder that is empty or not there yet.
        format: One of `ecoautoml.deploy.formats.FORMATS`; None: the trial's own.
        batch_size: Images per call; None: the trial's own.
        precision: One of the runtime's; None: the trial's own, fp32 where the format lacks it.
        is_forced: Whether an earlier export in the folder is replaced.

    Raises:
        RunError: There is no such trial, its model was not kept, or the run's images are gone.
        ConfigError: The format, the batch size or the folder cannot be used.
        MissingExtraError: The format's library is not installed.
        RuntimeExportError: The file disagrees with the network, or the folder cannot be written.
    """
    target = Path(folder)
    _check_target(target, is_forced=is_forced)
    result = run if isinstance(run, SearchResult) else SearchResult.read(run)
    order = _order(result, trial, format, batch_size, precision)
    runtime = order.format.open()
    with _draft(target) as draft:
        preprocessing, is_copy, found = _write_model(order, runtime, draft)
        preprocessing.write(draft)
        card = Card.of(result, trial, preprocessing, is_copy=is_copy, agreement=found)
        (draft / CARD_FILE).write_text(card.text(), encoding="utf-8")
        (draft / EXAMPLE_FILE).write_text(example_source(preprocessing), encoding="utf-8")
    return Exported(folder=target, preprocessing=preprocessing, is_copy=is_copy, agreement=found)


def _order(
    result: SearchResult,
    trial: int,
    name: str | None,
    batch_size: int | None,
    precision: str | None,
) -> _Order:
    result.trial(trial)
    source = result.model_folder(trial)
    tree = candidate_tree(source)
    own = own_runtime(source, tree)
    chosen = format_named(_format_of(own) if name is None else name)
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch {batch_size}: give the images per call, from 1")
    default = own_precision(tree) if chosen.runtime == own else "fp32"
    return _Order(
        result=result,
        trial=trial,
        source=source,
        format=chosen,
        batch_size=batch_size or own_batch_size(source),
        precision=precision or default,
    )


def _format_of(runtime: str) -> str:
    """Return the format of a trial's own file; where it has none of its own, torch."""
    return next((one.name for one in FORMATS if one.runtime == runtime), "torch")


def _write_model(
    order: _Order, runtime: Runtime, draft: Path
) -> tuple[Preprocessing, bool, Agreement | None]:
    """Write the model's files; return what it takes, whether it is a copy, and how it agrees."""
    tree = candidate_tree(order.source)
    about = described(
        order.source,
        tree,
        model_format=order.format.name,
        runtime=order.format.runtime if order.format.is_ranked else "torch",
        precision=order.precision,
        batch_size=order.batch_size,
        files=(order.format.file,),
    )
    about = replace(about, trial=order.trial)
    if isinstance(runtime, Checkpoint):
        _check_precision(runtime, order)
        return replace(about, files=Checkpoint.copy(order.source, draft)), True, None
    own = _own(order, runtime)
    if own is not None:
        return replace(about, files=_copied(own, runtime, draft, order.format)), True, None
    _check_precision(runtime, order)
    return _written(about, order, runtime, draft)


def _own(order: _Order, runtime: Runtime) -> Path | None:
    """Return the trial's own file, where it is what was asked for."""
    tree = candidate_tree(order.source)
    if own_runtime(order.source, tree) != order.format.runtime:
        return None
    if own_precision(tree) != order.precision:
        return None
    return own_file(order.source, runtime.suffix, order.batch_size)


def _copied(own: Path, runtime: Runtime, draft: Path, format_: Format) -> tuple[str, ...]:
    """Copy a file and what belongs to it under the format's name; return the names."""
    stem = Path(format_.file).stem
    names = []
    for file in runtime.files(own):
        name = stem + file.name.removeprefix(own.stem)
        shutil.copyfile(file, draft / name)
        names.append(name)
    return tuple(names)


def _written(
    about: Preprocessing, order: _Order, runtime: Runtime, draft: Path
) -> tuple[Preprocessing, bool, Agreement]:
    prepared = prepared_data(run_of(order.source))
    if prepared is None:
        raise RunError(
            f"{run_of(order.source) / 'data'} holds no prepared images to hold the exported file "
            "against; only the trial's own file can be exported without"
        )
    module = order.result.load(order.trial)
    path = draft / order.format.file
    calibration: Pixels | None = None
    if order.precision == "int8":
        calibration = training_images(prepared, about.side)
    try:
        traced = runtime.trace(module, about.shape)
        traced.write(module, path, precision=order.precision, calibration=calibration)
    except RuntimeError as error:  # what native writers raise, a full disk included
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RuntimeExportError(f"{order.format.file} cannot be written ({reason})") from error
    files = tuple(file.name for file in runtime.files(path))
    with runtime.load(path) as session:
        found = agreement(session, module, validation_images(prepared, about.side), order.precision)
    return replace(about, files=files), False, found


def _check_precision(runtime: Runtime, order: _Order) -> None:
    if order.precision not in runtime.precisions:
        raise ConfigError(
            f"format {order.format.name} has no precision {order.precision}; it has "
            f"{', '.join(runtime.precisions)}"
        )


def _check_target(target: Path, *, is_forced: bool) -> None:
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file; give a folder that is empty or not there yet")
    if not target.exists() or not any(target.iterdir()):
        return
    if not (target / PREPROCESSING_FILE).is_file():
        raise ConfigError(
            f"{target} holds other files; give a folder that is empty or not there yet"
        )
    if not is_forced:
        raise ConfigError(f"{target} holds an earlier export; add --force to replace it")


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give a folder beside ``target`` that takes its place as a whole, or leaves nothing.

    Raises:
        RuntimeExportError: The folder cannot be written (full, not allowed, ...).
    """
    parent = target.absolute().parent
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{target.name}-") as scratch:
            draft = Path(scratch) / "new"
            draft.mkdir()
            yield draft
            _put_in_place(draft, target, Path(scratch) / "old")
    except BaseException as error:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
            raise RuntimeExportError(f"{target} cannot be written ({reason})") from error
        raise


def _put_in_place(draft: Path, target: Path, old: Path) -> None:
    """Put a folder where another may be, which comes back when that fails."""
    if target.exists():
        target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise

"""Models where a search has left them: ``RUN/models/trial_0012``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoautoml.config.load import load_config
from ecoautoml.data import read_prepared
from ecoautoml.deploy.formats import FORMATS
from ecoautoml.deploy.preprocessing import Preprocessing
from ecoautoml.errors import RunError, RuntimeExportError
from ecoautoml.runtimes import AUTO, RUNTIMES, default_runtime

if TYPE_CHECKING:
    from ecoautoml.data import PreparedData
    from ecoautoml.runtimes.base import Runtime

CANDIDATE_FILE, CONFIG_FILE, ENVIRONMENT_FILE = "candidate.json", "config.yaml", "environment.json"


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's."""
    return (folder / CONFIG_FILE).is_file()


def is_model_folder(folder: Path) -> bool:
    """Return whether a folder is that of one model."""
    return (folder / CANDIDATE_FILE).is_file()


def trial_folder(run: Path, trial: int) -> Path:
    """Return the folder of a trial's model.

    Raises:
        RunError: There is no such trial, or its model was not kept.
    """
    from ecoautoml.result import SearchResult

    result = SearchResult.read(run)
    result.trial(trial)
    return result.model_folder(trial)


def run_of(model_folder: Path) -> Path:
    """Return the run a model's folder lies in."""
    return model_folder.resolve().parent.parent


def own_runtime(model_folder: Path, tree: Mapping[str, Any]) -> str:
    """Return the name of the runtime a trial was ranked in."""
    name = str(tree.get("candidate", {}).get("runtime", {}).get("runtime", AUTO))
    return default_runtime(_target(run_of(model_folder))) if name == AUTO else name


def own_precision(tree: Mapping[str, Any]) -> str:
    """Return the precision a trial was ranked in."""
    return str(tree.get("candidate", {}).get("runtime", {}).get("precision", "fp32"))


def own_batch_size(model_folder: Path) -> int:
    """Return the images per call of a trial's own file."""
    return load_config(run_of(model_folder) / CONFIG_FILE).measure.batch_size


def own_file(model_folder: Path, suffix: str, batch_size: int) -> Path | None:
    """Return a trial's file for a batch size, None where it has none."""
    is_main = batch_size == own_batch_size(model_folder)
    file = model_folder / (f"model{suffix}" if is_main else f"model_b{batch_size}{suffix}")
    return file if file.is_file() else None


def model_in_run(model_folder: Path, batch_size: int | None) -> tuple[Path, Preprocessing, Runtime]:
    """Return a trial's own file, the images it takes, and what runs it.

    Raises:
        RunError: There is no file for that batch size, or the run does not say what it takes.
        MissingExtraError: A library is not installed.
        RuntimeExportError: It runs on a device that is not here.
    """
    tree = candidate_tree(model_folder)
    name = own_runtime(model_folder, tree)
    for one in FORMATS:
        if one.runtime == name:
            one.check_libraries()
    runtime = RUNTIMES.get(name)()
    why_not = runtime.why_unavailable(_target(run_of(model_folder)))
    if why_not is not None:
        raise RuntimeExportError(
            f"the model of {model_folder} cannot be run here: {why_not}; ecoautoml export "
            "--format onnx makes one that can"
        )
    size = batch_size or own_batch_size(model_folder)
    file = own_file(model_folder, runtime.suffix, size)
    if file is None:
        raise RunError(
            f"{model_folder} holds no {name} file for batches of {size}; "
            f"ecoautoml export --batch {size} makes one"
        )
    preprocessing = described(
        model_folder,
        tree,
        model_format=next((one.name for one in FORMATS if one.runtime == name), name),
        runtime=name,
        precision=own_precision(tree),
        batch_size=size,
        files=(file.name,),
    )
    return file, preprocessing, runtime


def described(
    model_folder: Path,
    tree: Mapping[str, Any],
    *,
    model_format: str,
    runtime: str,
    precision: str,
    batch_size: int,
    files: tuple[str, ...],
) -> Preprocessing:
    """Return what a trial's model takes.

    Raises:
        RunError: ``candidate.json`` does not say it.
    """
    run = run_of(model_folder)
    try:
        return Preprocessing(
            model_format=model_format,
            runtime=runtime,
            precision=precision,
            batch_size=batch_size,
            files=files,
            channels=int(tree["in_chans"]),
            prepared_side=_prepared_side(run, tree),
            side=int(tree["resolution"]),
            class_names=tuple(map(str, tree["class_names"])),
            mean=tuple(map(float, tree["mean"])),
            std=tuple(map(float, tree["std"])),
            run=run.name,
            trial=int(model_folder.name.rpartition("_")[2]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{model_folder / CANDIDATE_FILE} does not say what images the model takes ({error!r})"
        ) from None


def candidate_tree(model_folder: Path) -> dict[str, Any]:
    """Return the contents of ``candidate.json``.

    Raises:
        RunError: It is missing or not JSON.
    """
    path = model_folder / CANDIDATE_FILE
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise RunError(f"{path}: not JSON ({error})") from None
    return tree


def prepared_data(run: Path) -> PreparedData | None:
    """Return the images a run has prepared; None when they were deleted."""
    return read_prepared(run / "data")


def _prepared_side(run: Path, tree: Mapping[str, Any]) -> int:
    prepared = prepared_data(run)
    if prepared is not None:
        return prepared.image_size
    if tree["candidate"]["architecture"].get("resolution") is None:
        return int(tree["resolution"])
    raise RunError(f"{run / 'data'} holds no prepared images, which say how images are resized")


def _target(run: Path) -> str:
    """Return the device a run's models were measured on."""
    try:
        tree = json.loads((run / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
        return str(tree["hardware"]["measured on"])
    except (OSError, KeyError, TypeError, ValueError):
        raise RunError(f"{run} does not say what its models were measured on") from None

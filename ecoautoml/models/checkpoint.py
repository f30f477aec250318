"""A trained model in a folder: weights in safetensors, everything else in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ecoautoml.errors import RunError
from ecoautoml.models.build import build_network
from ecoautoml.models.deployable import Deployable
from ecoautoml.models.shapes import differing_shapes, shaped_like
from ecoautoml.records.candidate import Candidate

WEIGHTS_FILE = "model.safetensors"
CANDIDATE_FILE = "candidate.json"
_REQUIRED = ("in_chans", "num_classes")
_LIBRARIES = ("ecoautoml", "torch", "timm")


def save_checkpoint(
    folder: Path, candidate: Candidate, module: Deployable, meta: Mapping[str, Any]
) -> None:
    """Write ``model.safetensors`` and ``candidate.json``.

    Args:
        folder: Made when it does not exist.
        candidate: What the module was built from.
        module: The trained model.
        meta: What else to keep, as JSON: ``in_chans`` and ``num_classes`` at least; commonly
            ``class_names`` and ``resolution`` too. Mean and std are taken from the module.

    A network that compression has made narrower than its candidate's is written with the widths of
    its layers (``shapes``). One into which compression has put other modules has its weights
    written and ``rebuild`` null: it can be run as its exported file only.

    Raises:
        ValueError: ``meta`` lacks what is needed to build the network again.
    """
    missing = [key for key in _REQUIRED if key not in meta]
    if missing:
        raise ValueError(f"meta has no {missing[0]!r}")
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in module.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS_FILE)
    tree = {
        "candidate": asdict(candidate),
        "builder": candidate.builder,
        **meta,
        **_rebuilding(candidate, module, int(meta["in_chans"]), int(meta["num_classes"])),
        "mean": module.mean.flatten().tolist(),
        "std": module.std.flatten().tolist(),
        "versions": {name: _version(name) for name in _LIBRARIES},
    }
    text = json.dumps(tree, indent=2, ensure_ascii=False)
    (folder / CANDIDATE_FILE).write_text(text + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> Deployable:
    """Return the model of a folder, in evaluation mode, on the CPU.

    Raises:
        RunError: The folder holds no checkpoint, its weights do not fit its candidate, or the
            network exists only as its exported file.
        SpaceError: The network cannot be built here (its function cannot be imported).
    """
    tree = read_meta(folder)
    try:
        candidate = Candidate(**tree["candidate"])
        in_chans, num_classes = int(tree["in_chans"]), int(tree["num_classes"])
        mean, std = list(map(float, tree["mean"])), list(map(float, tree["std"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / CANDIDATE_FILE}: not a checkpoint's file ({error!r})") from None
    if tree.get("rebuild", True) is None:
        raise RunError(
            f"{folder}: compression has put modules into this network that its candidate does not "
            "have, so it exists only as the exported file beside its weights"
        )
    network = build_network(
        _without_download(candidate), in_chans=in_chans, num_classes=num_classes
    )
    network = shaped_like(network, tree.get("shapes", {}))
    module = Deployable(network, mean=mean, std=std)
    path = folder / WEIGHTS_FILE
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path}: the weights cannot be loaded ({reason})") from error
    return module.eval()


def read_meta(folder: Path) -> dict[str, Any]:
    """Return the contents of ``candidate.json``: candidate, class names, resolution, versions.

    Raises:
        RunError: The file is missing or not JSON.
    """
    path = folder / CANDIDATE_FILE
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise RunError(f"{folder} holds no checkpoint: {CANDIDATE_FILE} cannot be read") from None
    except ValueError as error:
        raise RunError(f"{path}: not JSON ({error})") from None
    if not isinstance(tree, dict):
        raise RunError(f"{path}: not a checkpoint's file (expected keys and values)")
    return tree


def _rebuilding(
    candidate: Candidate, module: Deployable, in_chans: int, num_classes: int
) -> dict[str, Any]:
    """Return what ``candidate.json`` says about building the network; nothing when it is plain."""
    with torch.random.fork_rng(devices=[]):  # saving must not move the chance of what follows
        fresh = build_network(
            _without_download(candidate), in_chans=in_chans, num_classes=num_classes
        )
    shapes = differing_shapes(module.network, fresh)
    if shapes is None:
        return {"rebuild": None}
    return {"shapes": shapes} if shapes else {}


def _without_download(candidate: Candidate) -> Candidate:
    if "pretrained" not in candidate.architecture:
        return candidate
    return replace(candidate, architecture={**candidate.architecture, "pretrained": False})


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None

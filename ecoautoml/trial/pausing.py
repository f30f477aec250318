"""Trainings that are halted, and gone on with later as if nothing had happened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ecoautoml.trial.train import Trainer


def pause_file(folder: Path, number: int, epoch: int) -> Path:
    """Return the file of a training that is paused after an epoch.

    Every pause has a file of its own: until the search has written down that a training was halted
    again, it may have to go on from where it was halted before.
    """
    return folder / f"trial_{number:04d}_epoch_{epoch:04d}.pt"


def save_training(file: Path, trainer: Trainer, epoch: int) -> None:
    """Write a training down, whole or not at all.

    Args:
        file: Where.
        trainer: The training.
        epoch: Epochs it has done.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    torch.save({"epoch": epoch, "trainer": trainer.state(), "chance": _chance()}, part)
    os.replace(part, file)


def restore_training(file: Path, trainer: Trainer, epoch: int) -> bool:
    """Put a training back to where it was halted; return whether that was possible.

    Args:
        file: As `save_training` wrote it.
        trainer: The same training, at its beginning; left alone when it cannot be put back.
        epoch: Epochs it must have done.
    """
    try:
        kept: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, ValueError):  # gone, or not what was written
        return False
    if kept.get("epoch") != epoch:
        return False
    trainer.restore(kept["trainer"])
    torch.set_rng_state(kept["chance"]["cpu"])
    if "cuda" in kept["chance"]:
        torch.cuda.set_rng_state(kept["chance"]["cuda"])
    return True


def _chance() -> dict[str, torch.Tensor]:
    """Return the state of what dropout and its like draw from."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state

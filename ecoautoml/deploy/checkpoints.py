"""A trial's weights as a format: PyTorch runs them once ecoautoml has built their network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.models.checkpoint import CANDIDATE_FILE, load_checkpoint
from ecoautoml.runtimes.base import Runtime, TracedModel
from ecoautoml.runtimes.torch_program import OneThreadSession


class Checkpoint(Runtime):
    """A trial's weights and the candidate they belong to; ecoautoml builds the network."""

    suffix = ".safetensors"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        return None if target == "cpu" else f"it runs on the CPU here, not on {target}"

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> TracedModel:
        """Refuse: a checkpoint is copied, not traced."""
        raise RuntimeExportError("a checkpoint is copied from its run, not written anew")

    def load(self, path: Path, batch_size: int = 1) -> OneThreadSession:
        """Build the network and load its weights."""
        return OneThreadSession(load_checkpoint(path.parent), batch_size)

    @staticmethod
    def copy(model_folder: Path, target: Path) -> tuple[str, ...]:
        """Copy a trial's checkpoint; return the files' names, the weights first."""
        names = (f"model{Checkpoint.suffix}", CANDIDATE_FILE)
        for name in names:
            shutil.copyfile(model_folder / name, target / name)
        return names

"""PyTorch on one CPU thread, operation by operation."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import nn

from ecoautoml.runtimes.base import Runtime
from ecoautoml.runtimes.torch_program import ExportedProgramGraph, OneThreadSession, load_program

NAME = "torch_eager"
PRECISIONS = ("fp32", "bf16")


class TorchEager(Runtime):
    """A program of ``torch.export``, run by PyTorch as it stands."""

    suffix = ".pt2"
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        return None if target == "cpu" else f"torch_eager runs on the CPU here, not on {target}"

    def trace(
        self, module: nn.Module, input_shape: tuple[int, int, int, int]
    ) -> ExportedProgramGraph:
        """Keep the shape; the program is exported when it is written."""
        return ExportedProgramGraph(NAME, PRECISIONS, module, input_shape)

    def load(self, path: Path) -> OneThreadSession:
        """Load a saved program."""
        module, shape = load_program(path)
        return OneThreadSession(module, shape[0])

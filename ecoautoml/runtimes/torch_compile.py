"""PyTorch on one CPU thread, compiled when the file is loaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import Runtime
from ecoautoml.runtimes.torch_program import (
    ExportedProgramGraph,
    OneThreadSession,
    load_program,
    one_thread,
    quiet,
)

NAME = "torch_compile"
PRECISIONS = ("fp32",)


class TorchCompile(Runtime):
    """A program of ``torch.export``, compiled to C++ by ``torch.compile``."""

    suffix = ".pt2"
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS
    loads_slowly: ClassVar[bool] = True

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        if target != "cpu":
            return f"torch_compile runs on the CPU here, not on {target}"
        if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("gcc") is None:
            return "torch_compile needs a C++ compiler, and there is none; install g++"
        return None

    def trace(
        self, module: nn.Module, input_shape: tuple[int, int, int, int]
    ) -> ExportedProgramGraph:
        """Keep the shape; the program is exported when it is written."""
        return ExportedProgramGraph(NAME, PRECISIONS, module, input_shape)

    def load(self, path: Path) -> OneThreadSession:
        """Load a saved program and compile it (10-20 s the first time on a machine)."""
        module, shape = load_program(path)
        # in this process: idle workers of the compiler's own would be measured with the model
        compiled = torch.compile(module, dynamic=False, options={"compile_threads": 1})
        images = torch.zeros(shape, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
        try:
            with quiet(), one_thread(), torch.inference_mode():
                compiled(images)
        except Exception as error:  # the compiler's own and the C++ compiler's
            raise RuntimeExportError(
                f"torch.compile cannot compile {path}: {type(error).__name__}: {error}"
            ) from error
        return OneThreadSession(compiled, shape[0])

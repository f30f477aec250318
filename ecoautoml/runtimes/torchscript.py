"""TorchScript on one CPU thread."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import Runtime
from ecoautoml.runtimes.torch_program import (
    ExportedProgramGraph,
    OneThreadSession,
    one_thread,
    quiet,
)

NAME = "torchscript"
PRECISIONS = ("fp32",)
ABOUT = "ecoautoml.json"
"""Name inside the file under which it says the shape of its input."""


class TorchScriptGraph(ExportedProgramGraph):
    """Traced from the exported program, which has no branches: tracing would take one silently."""

    def save(self, program: torch.export.ExportedProgram, path: Path) -> None:
        """Trace, freeze and write a program."""
        module = program.module().to("cpu").to(memory_format=torch.channels_last)
        example = program.example_inputs[0][0].cpu()
        example = example.contiguous(memory_format=torch.channels_last)
        about = {ABOUT: json.dumps({"input_shape": list(example.shape)})}
        try:
            with quiet(), torch.no_grad():
                traced = torch.jit.trace(module, (example,), check_trace=False)
                frozen = torch.jit.freeze(traced.eval())
                buffer = io.BytesIO()  # torch's own writing of files aborts when a disk is full
                torch.jit.save(frozen, buffer, _extra_files=about)
        except RuntimeError as error:
            raise RuntimeExportError(
                f"the network cannot be exported to TorchScript: {error}"
            ) from error
        path.write_bytes(buffer.getvalue())


class TorchScript(Runtime):
    """A traced and frozen module, run by TorchScript's interpreter."""

    suffix = ".ts"
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        return None if target == "cpu" else f"torchscript runs on the CPU here, not on {target}"

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> TorchScriptGraph:
        """Keep the shape; the module is traced when it is written."""
        return TorchScriptGraph(NAME, PRECISIONS, module, input_shape)

    def load(self, path: Path) -> OneThreadSession:
        """Load a file and let the interpreter optimise it in its first two calls."""
        about = {ABOUT: ""}
        try:
            with quiet():
                module = torch.jit.load(str(path), map_location="cpu", _extra_files=about)
            shape = json.loads(about[ABOUT])["input_shape"]
            images = torch.zeros(shape, dtype=torch.uint8)
            images = images.contiguous(memory_format=torch.channels_last)
            with quiet(), one_thread(), torch.inference_mode():
                for _ in range(2):
                    module(images)
        except (RuntimeError, ValueError, KeyError) as error:
            raise RuntimeExportError(f"TorchScript cannot load {path}: {error}") from error
        return OneThreadSession(module, int(shape[0]))

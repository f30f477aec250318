"""What the runtimes of PyTorch share: a file of ``torch.export``, and running it on one thread."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import (
    Logits,
    Pixels,
    Session,
    TracedModel,
    check_request,
    weight_shapes,
    written_whole,
)

_FLOATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class ExportedProgramGraph(TracedModel):
    """Written with ``torch.export.save``; exported anew, because its weights are part of it.

    Args:
        runtime: The runtime's name, for messages.
        precisions: What it writes: fp32, bf16.
        module: The network whose weights may be written, by names and shapes.
        input_shape: Batch, channels, height, width.
    """

    def __init__(
        self,
        runtime: str,
        precisions: tuple[str, ...],
        module: nn.Module,
        input_shape: tuple[int, int, int, int],
    ) -> None:
        self._runtime, self._precisions = runtime, precisions
        self._shapes, self._input_shape = weight_shapes(module), input_shape

    def write(
        self,
        module: nn.Module,
        path: Path,
        *,
        precision: str = "fp32",
        calibration: Pixels | None = None,
    ) -> None:
        """Export with the present weights of ``module`` and save."""
        check_request(self._runtime, self._precisions, precision, calibration)
        program = self.program(module, precision)
        with written_whole(path) as draft:
            self.save(program, draft)

    def program(self, module: nn.Module, precision: str) -> torch.export.ExportedProgram:
        """Return the program of a module that is the traced one, with its present weights."""
        if weight_shapes(module) != self._shapes:
            raise RuntimeExportError("the module is not the one that was traced")
        module = module.eval()
        if precision != "fp32":
            module = copy.deepcopy(module).to(_FLOATS[precision])
        example = torch.zeros(
            self._input_shape, dtype=torch.uint8, device=next(module.parameters()).device
        )
        try:
            return torch.export.export(module, (example,))
        except Exception as error:  # torch.export raises many classes
            raise RuntimeExportError(f"torch.export failed: {error}") from error

    def save(self, program: torch.export.ExportedProgram, path: Path) -> None:
        """Write a program to a file; torch's own writing of files aborts when a disk is full."""
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        path.write_bytes(buffer.getvalue())


class OneThreadSession(Session):
    """A module on one CPU thread, fed images whose channels lie side by side in memory.

    Args:
        module: Takes uint8 pixels (batch_size, c, h, w), returns logits.
        batch_size: Images per call.
    """

    def __init__(self, module: Any, batch_size: int) -> None:
        self._module, self._batch_size = module, batch_size

    @property
    def batch_size(self) -> int:
        """Return the number of images every call takes."""
        return self._batch_size

    def prepare(self, images_bchw: Pixels) -> npt.NDArray[Any]:
        """Return the same images, channels last in memory."""
        return np.ascontiguousarray(images_bchw.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)

    def run(self, images_bchw: npt.NDArray[Any]) -> Logits:
        """Return logits for one batch."""
        with one_thread(), torch.inference_mode():
            images = torch.from_numpy(images_bchw).contiguous(memory_format=torch.channels_last)
            logits: Logits = self._module(images).float().numpy()
        return logits

    def close(self) -> None:
        """Release the module."""
        self._module = None


def load_program(path: Path) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a saved program as a module on the CPU with channels last, and its input's shape.

    Raises:
        RuntimeExportError: The file cannot be loaded.
    """
    try:
        program = torch.export.load(str(path))
    except Exception as error:  # zipfile's, pickle's and torch's own, none documented
        raise RuntimeExportError(f"PyTorch cannot load {path}: {error}") from error
    shape = tuple(program.example_inputs[0][0].shape)
    module = program.module().to("cpu").to(memory_format=torch.channels_last)
    return module, shape


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread; training in the same process gets its own back."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence PyTorch's warnings about its own parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""Formats that PyTorch itself runs, on one CPU thread or as many as torch is told."""

from __future__ import annotations

import io
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.models.checkpoint import CANDIDATE_FILE, load_checkpoint
from ecoautoml.runtimes.base import (
    Logits,
    Pixels,
    Runtime,
    Session,
    TracedModel,
    check_request,
)

_BATCH_SIZE = "batch_size"


class TorchSession(Session):
    """A module on the CPU.

    Args:
        module: Takes pixels (b, c, h, w), returns logits.
        batch_size: Images per call.
    """

    def __init__(self, module: Callable[[Tensor], Tensor], batch_size: int) -> None:
        self._module, self._batch_size = module, batch_size

    @property
    def batch_size(self) -> int:
        """Return the number of images every call takes."""
        return self._batch_size

    def run(self, images_bchw: npt.NDArray[Any]) -> Logits:
        """Return logits for one batch."""
        with torch.inference_mode():
            logits: Logits = self._module(torch.from_numpy(np.array(images_bchw))).float().numpy()
        return logits


class _OnCpu(Runtime):
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        return None if target == "cpu" else f"it runs on the CPU here, not on {target}"


class _Program(TracedModel):
    def __init__(self, input_shape: tuple[int, int, int, int]) -> None:
        self._shape = input_shape

    def write(
        self,
        module: nn.Module,
        path: Path,
        *,
        precision: str = "fp32",
        calibration: Pixels | None = None,
    ) -> None:
        """Export and write the module."""
        check_request("torch", _OnCpu.precisions, precision, calibration)
        buffer = io.BytesIO()  # torch's own writing of files aborts when a disk is full
        try:
            example = torch.zeros(self._shape, dtype=torch.uint8)
            torch.export.save(torch.export.export(module.eval(), (example,)), buffer)
        except Exception as error:  # torch.export raises many classes
            raise RuntimeExportError(f"torch.export failed: {error}") from error
        path.write_bytes(buffer.getvalue())


class TorchProgram(_OnCpu):
    """A program of ``torch.export``."""

    suffix = ".pt2"

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> _Program:
        """Return what writes the module; it is traced when it is written."""
        return _Program(input_shape)

    def load(self, path: Path) -> TorchSession:
        """Load a program."""
        try:
            program = torch.export.load(str(path))
        except Exception as error:  # zipfile's and torch's own, none documented
            raise RuntimeExportError(f"PyTorch cannot load {path}: {error}") from error
        batch_size = int(program.example_inputs[0][0].shape[0])
        return TorchSession(program.module(), batch_size)


class _Script(TracedModel):
    def __init__(self, input_shape: tuple[int, int, int, int]) -> None:
        self._shape = input_shape

    def write(
        self,
        module: nn.Module,
        path: Path,
        *,
        precision: str = "fp32",
        calibration: Pixels | None = None,
    ) -> None:
        """Trace and write the module."""
        check_request("torchscript", _OnCpu.precisions, precision, calibration)
        example = torch.zeros(self._shape, dtype=torch.uint8)
        try:
            with _quiet(), torch.no_grad():
                script = torch.jit.trace(module.eval(), example)
                script = torch.jit.freeze(script)
                buffer = io.BytesIO()  # torch's own writing of files aborts when a disk is full
                torch.jit.save(script, buffer, _extra_files={_BATCH_SIZE: str(self._shape[0])})
        except Exception as error:  # torch raises many classes
            raise RuntimeExportError(f"TorchScript cannot be written: {error}") from error
        path.write_bytes(buffer.getvalue())


class TorchScript(_OnCpu):
    """TorchScript, for programs that load it from C++ or an older PyTorch."""

    suffix = ".ts"

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> _Script:
        """Return what writes the module; it is traced when it is written."""
        return _Script(input_shape)

    def load(self, path: Path) -> TorchSession:
        """Load a script."""
        extra = {_BATCH_SIZE: b""}
        try:
            with _quiet():
                module = torch.jit.load(str(path), _extra_files=extra)
        except Exception as error:  # torch raises RuntimeError and ValueError
            raise RuntimeExportError(f"PyTorch cannot load {path}: {error}") from error
        return TorchSession(module, int(extra[_BATCH_SIZE] or 1))


class Checkpoint(_OnCpu):
    """A trial's weights and the candidate they belong to; ecoautoml builds the network."""

    suffix = ".safetensors"

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> TracedModel:
        """Refuse: a checkpoint is copied, not traced."""
        raise RuntimeExportError("a checkpoint is copied from its run, not written anew")

    def load(self, path: Path, batch_size: int = 1) -> TorchSession:
        """Build the network and load its weights."""
        return TorchSession(load_checkpoint(path.parent), batch_size)

    @staticmethod
    def copy(model_folder: Path, target: Path) -> tuple[str, ...]:
        """Copy a trial's checkpoint; return the files' names, the weights first."""
        names = (f"model{Checkpoint.suffix}", CANDIDATE_FILE)
        for name in names:
            shutil.copyfile(model_folder / name, target / name)
        return names


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch says about TorchScript's age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

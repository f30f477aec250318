"""PyTorch on an NVIDIA GPU, replaying a CUDA graph so that launch overhead is not measured."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import (
    Logits,
    Pixels,
    Runtime,
    Session,
    TracedModel,
    check_request,
    weight_shapes,
    written_whole,
)

NAME = "torch_cuda_graph"
PRECISIONS = ("fp32",)


class CudaGraphSession(Session):
    """A loaded program captured into a CUDA graph; a call copies in, replays, copies out."""

    def __init__(self, path: Path) -> None:
        try:
            program = torch.export.load(str(path))
        except Exception as error:  # zipfile's, pickle's and torch's own, none documented
            raise RuntimeExportError(f"PyTorch cannot load {path}: {error}") from error
        self._module = program.module().to("cuda")
        example = program.example_inputs[0][0]
        self._input = torch.zeros_like(example, device="cuda")
        self._graph = torch.cuda.CUDAGraph()
        with torch.no_grad():
            self._warm_up()
            with torch.cuda.graph(self._graph):
                self._output = self._module(self._input)

    def _warm_up(self) -> None:
        """Run on a side stream first, as capture requires."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._module(self._input)
        torch.cuda.current_stream().wait_stream(stream)

    @property
    def batch_size(self) -> int:
        """Return the number of images every call takes."""
        return int(self._input.shape[0])

    def run(self, images_bchw: Pixels) -> Logits:
        """Return logits for one batch; the copy back waits for the device."""
        self._input.copy_(torch.from_numpy(images_bchw))
        self._graph.replay()
        logits: Logits = self._output.float().cpu().numpy()
        return logits

    def synchronize(self) -> None:
        """Wait until the device has finished all work."""
        torch.cuda.synchronize()

    def close(self) -> None:
        """Release the graph and its memory."""
        self._graph.reset()


class ExportedProgramGraph(TracedModel):
    """Written with ``torch.export.save``; exported anew, because its weights are part of it."""

    def __init__(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> None:
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
        check_request(NAME, PRECISIONS, precision, calibration)
        if weight_shapes(module) != self._shapes:
            raise RuntimeExportError("the module is not the one that was traced")
        example = torch.zeros(
            self._input_shape, dtype=torch.uint8, device=next(module.parameters()).device
        )
        try:
            program = torch.export.export(module.eval(), (example,))
        except Exception as error:  # torch.export raises many classes
            raise RuntimeExportError(f"torch.export failed: {error}") from error
        with written_whole(path) as draft:
            torch.export.save(program, str(draft))


class TorchCudaGraph(Runtime):
    """PyTorch with CUDA graphs, fp32."""

    suffix = ".pt2"
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        if not target.startswith("cuda"):
            return f"torch_cuda_graph runs on a GPU, not on {target}"
        if not torch.cuda.is_available():
            return "PyTorch sees no NVIDIA GPU (torch.cuda.is_available() is False)"
        return None

    def trace(
        self, module: nn.Module, input_shape: tuple[int, int, int, int]
    ) -> ExportedProgramGraph:
        """Keep the shape; the program is exported when it is written."""
        return ExportedProgramGraph(module, input_shape)

    def load(self, path: Path) -> CudaGraphSession:
        """Load a saved program onto the GPU."""
        return CudaGraphSession(path)

"""ONNX Runtime on one CPU thread."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import Logits, Pixels, Runtime, Session, TracedModel, weight_shapes

INPUT_NAME = "image"
OUTPUT_NAME = "logits"


class OnnxSession(Session):
    """A loaded ONNX file."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises one class per failure, none exported
            raise RuntimeExportError(f"ONNX Runtime cannot load {path}: {error}") from error
        self._batch_size = int(self._session.get_inputs()[0].shape[0])

    @property
    def batch_size(self) -> int:
        """Return the number of images every call takes."""
        return self._batch_size

    def run(self, images_bchw: Pixels) -> Logits:
        """Return logits for one batch."""
        logits: Logits = self._session.run(None, {INPUT_NAME: images_bchw})[0]
        return logits


class OnnxGraph(TracedModel):
    """An exported graph whose weights can be replaced.

    The exporter's optimiser folds constants, after which weights no longer have their names; so
    the plain graph is kept, and each file is written from an optimised copy. The plain graph
    itself would run 3 to 4 times slower (measured with ONNX Runtime 1.31 on MobileNetV3).
    """

    def __init__(self, program: Any) -> None:
        self._program = program

    def write(self, module: nn.Module, path: Path) -> None:
        """Write the graph with the present weights of ``module``."""
        graph = self._program.model.clone()
        names = set(graph.graph.initializers)
        weights = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in module.state_dict().items()
            if name in names
        }
        shapes = weight_shapes(module)
        other = [
            name
            for name, weight in graph.graph.initializers.items()
            if shapes.get(name) != tuple(weight.shape)
        ]
        if other:
            raise RuntimeExportError(
                f"the module is not the one that was traced: it has no {other[0]} of that shape"
            )
        with _quiet():
            copy = torch.onnx.ONNXProgram(graph, self._program.exported_program)
            copy.apply_weights(weights)
            copy.optimize()
            copy.save(str(path), external_data=False)


class OnnxRuntime(Runtime):
    """ONNX Runtime with the CPU provider, fp32."""

    suffix = ".onnx"

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        return None if target == "cpu" else f"onnxruntime runs on the CPU here, not on {target}"

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> OnnxGraph:
        """Trace through ``torch.export``."""
        example = torch.zeros(input_shape, dtype=torch.uint8)
        try:
            with _quiet(), torch.no_grad():
                program = torch.onnx.export(
                    module,
                    (example,),
                    dynamo=True,
                    optimize=False,
                    verbose=False,
                    input_names=[INPUT_NAME],
                    output_names=[OUTPUT_NAME],
                )
        except Exception as error:  # the exporter raises its own and torch's errors alike
            raise RuntimeExportError(
                f"the network cannot be exported to ONNX: {type(error).__name__}: {error}"
            ) from error
        return OnnxGraph(program)

    def load(self, path: Path) -> OnnxSession:
        """Load an ONNX file."""
        return OnnxSession(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter: it prints and warns about itself on every call."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

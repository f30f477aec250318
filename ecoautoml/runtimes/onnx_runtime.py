"""ONNX Runtime on one CPU thread."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import (
    Logits,
    Pixels,
    Runtime,
    Session,
    TracedModel,
    calibration_batches,
    check_request,
    not_installed,
    weight_shapes,
    written_whole,
)
from ecoautoml.runtimes.onnx_precisions import write_in

if TYPE_CHECKING:
    from torch import nn

NAME = "onnxruntime"
PRECISIONS = ("fp32", "fp16", "int8", "int8_dynamic")
INPUT_NAME = "image"
OUTPUT_NAME = "logits"


class OnnxSession(Session):
    """A loaded ONNX file: one of ours, or any that takes one tensor of images (b, c, h, w).

    Args:
        path: The file.
        batch_size: Images per call, for a file that leaves it open; None: 1.

    Raises:
        RuntimeExportError: It cannot be loaded, or takes something else.
    """

    def __init__(self, path: Path, batch_size: int | None = None) -> None:
        import onnxruntime

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
        self._input_name, self._dtype, shape = _input(path, self._session.get_inputs())
        self._batch_size = shape[0] or batch_size or 1
        self.input_shape = (shape[1], shape[2], shape[3])
        """Channels, height and width; None where the file leaves it open."""
        if batch_size is not None and batch_size != self._batch_size:
            raise RuntimeExportError(
                f"{path} takes batches of {self._batch_size}, not of {batch_size}; measure it at "
                f"--batch {self._batch_size}, or export it for {batch_size}"
            )

    @property
    def batch_size(self) -> int:
        """Return the number of images every call takes."""
        return self._batch_size

    def prepare(self, images_bchw: Pixels) -> npt.NDArray[Any]:
        """Return pixels as the file takes them; floats are scaled to about -2 to 2."""
        if self._dtype is np.uint8:
            return np.ascontiguousarray(images_bchw)
        return np.ascontiguousarray(((images_bchw / 255.0 - 0.5) / 0.25).astype(self._dtype))

    def run(self, images_bchw: npt.NDArray[Any]) -> Logits:
        """Return logits for one batch."""
        logits: Logits = self._session.run(None, {self._input_name: images_bchw})[0]
        return logits


_DTYPES: dict[str, Any] = {
    "tensor(uint8)": np.uint8,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


def _input(path: Path, inputs: Sequence[Any]) -> tuple[str, Any, tuple[int | None, ...]]:
    """Return name, type and shape of a file's only input; None for an open dimension."""
    given = [f"{one.name}: {one.type} {one.shape}" for one in inputs]
    if len(inputs) != 1 or inputs[0].type not in _DTYPES or len(inputs[0].shape) != 4:
        raise RuntimeExportError(
            f"{path} does not take one tensor of images (b, c, h, w), but {'; '.join(given)}"
        )
    shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
    return inputs[0].name, _DTYPES[inputs[0].type], shape


class OnnxGraph(TracedModel):
    """An exported graph whose weights can be replaced.

    The exporter's optimiser folds constants, after which weights no longer have their names; so
    the plain graph is kept, and each file is written from an optimised copy. The plain graph
    itself would run 3 to 4 times slower (measured with ONNX Runtime 1.31 on MobileNetV3).
    """

    def __init__(self, program: Any, input_shape: tuple[int, int, int, int]) -> None:
        self._program, self._shape = program, input_shape

    def write(
        self,
        module: nn.Module,
        path: Path,
        *,
        precision: str = "fp32",
        calibration: Pixels | None = None,
    ) -> None:
        """Write the graph with the present weights of ``module``."""
        check_request(NAME, PRECISIONS, precision, calibration)
        batches = []
        if precision == "int8" and calibration is not None:
            batches = calibration_batches(calibration, self._shape)
        program = self._with_weights(module)
        with written_whole(path) as draft:
            if precision == "fp32":
                _save(program, draft)
                return
            with tempfile.TemporaryDirectory() as scratch:
                whole = Path(scratch) / "model.onnx"
                _save(program, whole)
                write_in(precision, whole, draft, INPUT_NAME, batches)

    def _with_weights(self, module: nn.Module) -> Any:
        """Return an optimised copy of the program with the present weights of ``module``."""
        import torch

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
        with quiet_export():
            copy = torch.onnx.ONNXProgram(graph, self._program.exported_program)
            copy.apply_weights(weights)
            copy.optimize()
        return copy


def _save(program: Any, path: Path) -> None:
    with quiet_export():
        program.save(str(path), external_data=False)


class OnnxRuntime(Runtime):
    """ONNX Runtime with the CPU provider."""

    suffix = ".onnx"
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        if target != "cpu":
            return f"onnxruntime runs on the CPU here, not on {target}"
        return not_installed("onnxruntime", "pip install ecoautoml")

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> OnnxGraph:
        """Trace through ``torch.export``; how the weights lie in memory makes no difference."""
        import torch

        example = torch.zeros(input_shape, dtype=torch.uint8)
        # a network trained with channels last would be given another graph than before its training
        module = copy.deepcopy(module).to(memory_format=torch.contiguous_format)
        try:
            with quiet_export(), torch.no_grad():
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
        return OnnxGraph(program, input_shape)

    def load(self, path: Path) -> OnnxSession:
        """Load an ONNX file."""
        return OnnxSession(path)


@contextlib.contextmanager
def quiet_export() -> Iterator[None]:
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

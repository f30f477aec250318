"""OpenVINO on one CPU thread."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
    written_whole,
)
from ecoautoml.runtimes.onnx_runtime import OnnxGraph, OnnxRuntime

if TYPE_CHECKING:
    from torch import nn

NAME = "openvino"
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
PRECISION_KEY = ["ecoautoml", "precision"]
"""Where a file says its precision: in the information for the runtime that its .xml holds."""
INSTALL = "pip install 'ecoautoml[openvino]'"


class OpenVinoSession(Session):
    """A loaded IR file, compiled for one thread and one request at a time.

    Raises:
        RuntimeExportError: It cannot be loaded, or is bf16 and the processor has none.
    """

    def __init__(self, path: Path) -> None:
        core = _openvino().Core()
        try:
            model = core.read_model(str(path))
            precision = (
                model.get_rt_info(PRECISION_KEY).astype(str)
                if model.has_rt_info(PRECISION_KEY)
                else "fp32"
            )
            why = _why_no_bf16(core) if precision == "bf16" else None
            if why is not None:
                raise RuntimeExportError(f"{path} is bf16: {why}; choose another precision")
            compiled = core.compile_model(model, "CPU", _settings(precision))
            self._batch_size = int(compiled.input(0).shape[0])
        except RuntimeError as error:  # all that OpenVINO raises
            raise RuntimeExportError(f"OpenVINO cannot load {path}: {error}") from error
        self._request: Any = compiled.create_infer_request()

    @property
    def batch_size(self) -> int:
        """Return the number of images every call takes."""
        return self._batch_size

    def run(self, images_bchw: npt.NDArray[Any]) -> Logits:
        """Return logits for one batch."""
        logits: Logits = self._request.infer([images_bchw])[0]
        return logits

    def close(self) -> None:
        """Release the compiled model."""
        self._request = None


def _settings(precision: str) -> dict[str, Any]:
    """Return what a model is compiled with: one thread, and no other precision than asked for."""
    return {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }


def _why_no_bf16(core: Any) -> str | None:
    """Return why there is no bf16; OpenVINO itself would quietly compute in fp32."""
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" in able:
        return None
    return f"OpenVINO has no bf16 arithmetic on this processor, only {', '.join(able)}"


class OpenVinoGraph(TracedModel):
    """An ONNX graph, read by OpenVINO anew for each set of weights (0.1-0.5 s)."""

    def __init__(self, graph: OnnxGraph, input_shape: tuple[int, int, int, int]) -> None:
        self._graph, self._input_shape = graph, input_shape

    def write(
        self,
        module: nn.Module,
        path: Path,
        *,
        precision: str = "fp32",
        calibration: Pixels | None = None,
    ) -> None:
        """Write the graph with the present weights of ``module``: an .xml and a .bin beside it."""
        check_request(NAME, PRECISIONS, precision, calibration)
        missing = not_installed("nncf", INSTALL) if precision == "int8" else None
        if missing is not None:
            raise RuntimeExportError(missing)
        with tempfile.TemporaryDirectory() as scratch:
            onnx_file = Path(scratch) / "model.onnx"
            self._graph.write(module, onnx_file)
            try:
                model = _openvino().Core().read_model(str(onnx_file))
                if precision == "int8" and calibration is not None:
                    model = _quantized(model, calibration_batches(calibration, self._input_shape))
            except RuntimeError as error:  # OpenVINO's, and what NNCF raises is derived from it
                raise RuntimeExportError(
                    f"the network cannot be exported to OpenVINO: {error}"
                ) from error
            model.set_rt_info(precision, PRECISION_KEY)
            with written_whole(path) as draft:
                _openvino().save_model(model, str(draft), compress_to_fp16=precision == "fp16")


def _quantized(model: Any, batches: list[Pixels]) -> Any:
    """Return a model with weights and activations in 8 bits, ranges found on all batches.

    Half the range of the weights is left unused in every layer: processors without VNNI add two
    products in 16 bits and would saturate, so the same file would answer differently there.
    """
    _openvino()  # first, so that NNCF finds no telemetry either
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix

    with _quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE
            ),
        )


class OpenVino(Runtime):
    """OpenVINO with the CPU plug-in."""

    suffix = ".xml"
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS

    @staticmethod
    def why_unavailable(target: str) -> str | None:
        """Return why it cannot run on ``target``."""
        if target != "cpu":
            return f"openvino runs on the CPU here, not on {target}"
        return not_installed("openvino", INSTALL)

    @staticmethod
    def why_precision_unavailable(precision: str) -> str | None:
        """Return why bf16 cannot run on this processor, or int8 not be written."""
        if precision == "int8":
            return not_installed("nncf", INSTALL)
        return _why_no_bf16(_openvino().Core()) if precision == "bf16" else None

    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> OpenVinoGraph:
        """Trace to ONNX, which OpenVINO reads."""
        return OpenVinoGraph(OnnxRuntime().trace(module, input_shape), input_shape)

    def load(self, path: Path) -> OpenVinoSession:
        """Load an IR file."""
        return OpenVinoSession(path)

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return the .xml with the graph and the .bin with the weights."""
        return (path, path.with_suffix(".bin"))


def _openvino() -> Any:
    """Import OpenVINO without its telemetry.

    That would tell its makers of every import and conversion, in the background of what is being
    measured; OpenVINO and NNCF do without where it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence NNCF: it draws progress bars and logs."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)

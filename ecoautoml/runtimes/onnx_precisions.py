"""An fp32 ONNX file, written again in fewer bits. Input and output stay as they are."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoautoml.errors import RuntimeExportError
from ecoautoml.runtimes.base import Pixels

if TYPE_CHECKING:
    from onnxruntime.quantization import CalibrationDataReader

PRODUCTS = ("MatMul", "Gemm")
"""What int8_dynamic quantises; with convolutions, finding ranges on the fly costs more than it
saves."""


def write_in(
    precision: str, source: Path, target: Path, input_name: str, batches: list[Pixels]
) -> None:
    """Write an fp32 file in another precision.

    Args:
        precision: fp16, int8 or int8_dynamic.
        source: The fp32 file; its folder is used for what lies between.
        target: The file to write.
        input_name: The graph's only input.
        batches: Training images for the ranges of int8; the others need none.

    Raises:
        RuntimeExportError: The network has nothing to quantise, or cannot be.
    """
    try:
        with _quiet():
            if precision == "fp16":
                _write_fp16(source, target)
            elif precision == "int8":
                _write_int8(_prepared(source), target, input_name, batches)
            else:
                _write_int8_dynamic(_prepared(source), target)
    except RuntimeExportError:
        raise
    except Exception as error:  # the quantiser raises whatever the graph trips it with
        raise RuntimeExportError(
            f"the network cannot be exported in {precision}: {type(error).__name__}: {error}"
        ) from error


def _write_fp16(source: Path, target: Path) -> None:
    """Halve the weights; kernels a processor lacks in fp16 run in fp32, between casts."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))


def _prepared(source: Path) -> Path:
    """Return the file with batch normalisation folded and all shapes known."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = source.with_name("prepared.onnx")
    # symbolic shapes are for graphs whose sizes are open
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    return prepared


def _write_int8(prepared: Path, target: Path, input_name: str, batches: list[Pixels]) -> None:
    """Quantise weights per channel and activations by their extremes on all batches.

    Unsigned activations with signed weights are the pair that x86 multiplies fast (signed with
    signed: 3 times slower, measured with ONNX Runtime 1.32 on ResNet-18 with AVX2). Weights leave
    half their range unused: without VNNI two products are added in 16 bits and would saturate.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        str(prepared),
        str(target),
        _reader(input_name, batches),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def _write_int8_dynamic(prepared: Path, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not any(node.op_type in PRODUCTS for node in onnx.load(str(prepared)).graph.node):
        raise RuntimeExportError(
            "int8_dynamic quantises matrix products only, and the network has none; "
            "choose int8 or fp32"
        )
    quantize_dynamic(
        str(prepared),
        str(target),
        op_types_to_quantize=list(PRODUCTS),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def _reader(input_name: str, batches: list[Pixels]) -> CalibrationDataReader:
    """Return what ONNX Runtime takes training images from."""
    from onnxruntime.quantization import CalibrationDataReader

    remaining = iter(batches)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            batch = next(remaining, None)
            return None if batch is None else {input_name: batch}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantiser: it advises on the root logger, and warns of weights it rounds."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)

"""Runtimes: export a model to a file, load it, run it. What is ranked is that file.

Entry points: `RUNTIMES` (name → member), `ecoautoml.runtimes.base.Runtime` (the contract).
Errors: `RuntimeExportError`.
"""

from ecoautoml.records.candidate import Candidate
from ecoautoml.registry import Entry, Registry
from ecoautoml.runtimes.base import Runtime

__all__ = ["AUTO", "RUNTIMES", "can_write", "default_runtime", "precision_of", "runtime_named"]

AUTO = "auto"
"""Name by which a space leaves the runtime to the target."""

RUNTIMES: Registry[Runtime] = Registry(
    "runtime",
    (
        Entry(
            name="onnxruntime",
            target="ecoautoml.runtimes.onnx_runtime:OnnxRuntime",
            description="ONNX Runtime on one CPU thread; fp32, fp16 weights, int8, int8_dynamic",
        ),
        Entry(
            name="openvino",
            target="ecoautoml.runtimes.openvino:OpenVino",
            description="OpenVINO on one CPU thread; fp32, bf16 where the processor has it, "
            "fp16 weights, int8",
        ),
        Entry(
            name="torch_eager",
            target="ecoautoml.runtimes.torch_eager:TorchEager",
            description="PyTorch, operation by operation, on one CPU thread; fp32, bf16",
        ),
        Entry(
            name="torch_compile",
            target="ecoautoml.runtimes.torch_compile:TorchCompile",
            description="PyTorch, compiled to C++ when loaded, on one CPU thread; fp32",
        ),
        Entry(
            name="torchscript",
            target="ecoautoml.runtimes.torchscript:TorchScript",
            description="TorchScript, traced and frozen, on one CPU thread; fp32",
        ),
        Entry(
            name="torch_cuda_graph",
            target="ecoautoml.runtimes.torch_cuda_graph:TorchCudaGraph",
            description="PyTorch replaying a CUDA graph on an NVIDIA GPU; fp32; not yet validated "
            "on hardware",
        ),
    ),
    group="ecoautoml.runtimes",
)


def default_runtime(target: str) -> str:
    """Return the runtime used on a target when the space does not name one."""
    return "torch_cuda_graph" if target.startswith("cuda") else "onnxruntime"


def runtime_named(candidate: Candidate, target: str) -> str:
    """Return the name of a candidate's runtime, the target's default one for `AUTO`."""
    name = str(candidate.runtime.get("runtime", AUTO))
    return default_runtime(target) if name == AUTO else name


def precision_of(candidate: Candidate) -> str:
    """Return the precision of a candidate's exported file."""
    value = str(candidate.compression.get("quantize", "none"))
    return "fp32" if value == "none" else value


def can_write(candidate: Candidate, *, target: str) -> bool:
    """Return whether a candidate's runtime can write its precision."""
    runtime, precision = RUNTIMES.get(runtime_named(candidate, target)), precision_of(candidate)
    return precision in runtime.precisions and runtime.why_precision_unavailable(precision) is None

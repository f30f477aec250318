"""Runtimes: export a model to a file, load it, run it. What is ranked is that file.

Entry points: `RUNTIMES` (name → member), `ecoautoml.runtimes.base.Runtime` (the contract).
Errors: `RuntimeExportError`.
"""

from ecoautoml.registry import Entry, Registry
from ecoautoml.runtimes.base import Runtime

__all__ = ["AUTO", "RUNTIMES", "default_runtime"]

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

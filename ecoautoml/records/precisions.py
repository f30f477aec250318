"""The names of the precisions a model's file may have; which runtime has which, it says itself."""

from __future__ import annotations

PRECISION_MEANINGS: dict[str, str] = {
    "fp32": "weights and arithmetic in 32-bit floats",
    "fp16": "weights in 16-bit floats; the arithmetic in 16 or 32, as the runtime's device has it",
    "bf16": "arithmetic in bfloat16: the range of 32-bit floats with 8 bits of precision",
    "int8": "weights and activations in 8-bit integers, their ranges from training images",
    "int8_dynamic": "weights of matrix products in 8-bit integers, activations' ranges on the fly",
}
"""Each name and what it means, in one line."""

PRECISIONS: tuple[str, ...] = tuple(PRECISION_MEANINGS)
"""fp32, fp16, bf16, int8, int8_dynamic."""

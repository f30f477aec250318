"""Architecture values → timm's block strings, such as "ir_r1_k5_s2_e4.5_c40_se0.25_nre"."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ecoautoml.errors import SpaceError
from ecoautoml.records.candidate import Value

_ACTIVATION_CODES = {"relu": "re", "relu6": "r6", "hard_swish": "hs", "swish": "sw", "mish": "mi"}
_STAGE = re.compile(r"^stage(\d+)\.")


def arch_definition(architecture: Mapping[str, Value]) -> list[list[str]]:
    """Return one list of block strings per stage that has blocks, one string per block.

    Args:
        architecture: Values of a candidate ("stage0.depth", "stage1.block0.expansion", ...); a
            ``final_width`` adds a last stage with one 1x1 convolution.

    Raises:
        SpaceError: A value is missing or cannot be built.
    """
    matches = [_STAGE.match(name) for name in architecture]
    stages = sorted({int(match.group(1)) for match in matches if match is not None})
    definition = [_stage(architecture, stage) for stage in stages]
    definition = [blocks for blocks in definition if blocks]
    if not definition:
        raise SpaceError("the architecture has no stage with a depth above 0")
    if "final_width" in architecture:
        definition.append([f"cn_r1_k1_s1_c{whole(architecture, 'final_width', least=1)}"])
    return definition


def whole(architecture: Mapping[str, Value], name: str, *, least: int, default: int = 0) -> int:
    """Return an integer value of at least ``least``.

    Args:
        architecture: Values of a candidate.
        name: Which one.
        least: Smallest value that can be built.
        default: What a missing value means; below ``least`` it may not be missing.

    Raises:
        SpaceError: It is missing, no integer, or too small.
    """
    value = architecture.get(name, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        given = f"is {value!r}" if name in architecture else "is missing"
        raise SpaceError(f"{name} {given}; it must be an integer of at least {least}")
    return value


def _stage(architecture: Mapping[str, Value], stage: int) -> list[str]:
    depth = whole(architecture, f"stage{stage}.depth", least=0)
    return [_block(architecture, stage, block) for block in range(depth)]


def _block(architecture: Mapping[str, Value], stage: int, block: int) -> str:
    prefix = f"stage{stage}."
    kind = architecture.get(f"{prefix}block", "ir")
    stride = whole(architecture, f"{prefix}stride", least=1, default=1) if block == 0 else 1
    kernel = _setting(architecture, stage, block, "kernel")
    if kernel not in (3, 5, 7) or stride > 2:
        raise SpaceError(
            f"{prefix}kernel is {kernel!r} and {prefix}stride is {stride}; "
            "allowed are kernels 3, 5, 7 and strides 1, 2"
        )
    parts = [str(kind), "r1", f"k{kernel}", f"s{stride}"]
    if kind != "ds":
        parts.append(f"e{_ratio(architecture, stage, block, 'expansion', above=0.0)}")
    parts.append(f"c{whole(architecture, f'{prefix}width', least=1)}")
    if _setting(architecture, stage, block, "se_ratio", 0):
        parts.append(f"se{_ratio(architecture, stage, block, 'se_ratio', above=0.0)}")
    activation = _setting(architecture, stage, block, "activation", None)
    return "_".join(parts if activation is None else [*parts, f"n{_code(activation, prefix)}"])


def _setting(
    architecture: Mapping[str, Value], stage: int, block: int, key: str, *default: Value
) -> Value:
    """Return a block's own value of a key, else its stage's, else the default."""
    for name in (f"stage{stage}.block{block}.{key}", f"stage{stage}.{key}"):
        if name in architecture:
            return architecture[name]
    if default:
        return default[0]
    raise SpaceError(f"stage{stage}.{key} is missing")


def _ratio(
    architecture: Mapping[str, Value], stage: int, block: int, key: str, *, above: float
) -> str:
    value = _setting(architecture, stage, block, key)
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= above:
        raise SpaceError(f"stage{stage}.{key} is {value!r}; it must be a number above {above:g}")
    return f"{value:.6f}".rstrip("0").rstrip(".")  # timm's strings know no exponents


def _code(activation: Value, prefix: str) -> str:
    if activation not in _ACTIVATION_CODES:
        allowed = ", ".join(_ACTIVATION_CODES)
        raise SpaceError(f"{prefix}activation is {activation!r}; allowed: {allowed}")
    return _ACTIVATION_CODES[str(activation)]

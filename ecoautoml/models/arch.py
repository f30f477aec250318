"""Architecture values → blocks → timm's strings, such as "ir_r1_k5_s2_e4.5_c40_se0.25_nre".

`network_blocks` reads a candidate's values; `arch_definition` writes what it read the way timm
wants it, and `arithmetic` counts it. So a network and its count cannot disagree about a setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from ecoautoml.errors import SpaceError
from ecoautoml.records.candidate import Value

Kind = Literal["ir", "ds", "er", "cn"]

_KINDS = ("ir", "ds", "er")  # what a stage may ask for; "cn" is made from final_width only
_ACTIVATION_CODES = {"relu": "re", "relu6": "r6", "hard_swish": "hs", "swish": "sw", "mish": "mi"}
_DEPTH = re.compile(r"stage(\d+)\.depth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block, as timm builds it.

    Attributes:
        kind: "ir" inverted residual, "ds" depthwise separable, "er" fused inverted residual,
            "cn" a convolution alone.
        kernel: Side of the kernel in pixels, odd.
        stride: 1 or 2.
        width: Channels that leave the block.
        expansion: Channels inside over channels that enter; None for kinds that do not expand.
        se_ratio: Squeeze-and-excitation; 0 is none.
        activation: Name of the block's own activation; None is the network's.
    """

    kind: Kind
    kernel: int
    stride: int
    width: int
    expansion: float | None = None
    se_ratio: float = 0.0
    activation: str | None = None


def network_blocks(architecture: Mapping[str, Value]) -> list[list[Block]]:
    """Return one list of blocks per stage that has any, first stage first.

    Args:
        architecture: Values of a candidate ("stage0.depth", "stage1.block0.expansion", ...); a
            ``final_width`` adds a last stage with one 1x1 convolution.

    Raises:
        SpaceError: A value is missing or cannot be built.
    """
    matches = [_DEPTH.fullmatch(name) for name in architecture if name.endswith(".depth")]
    stages = sorted({int(match.group(1)) for match in matches if match is not None})
    network = [blocks for stage in stages if (blocks := _stage(architecture, stage))]
    if not network:
        raise SpaceError("the architecture has no stage with a depth above 0")
    if "final_width" in architecture:
        width = whole(architecture, "final_width", least=1)
        network.append([Block(kind="cn", kernel=1, stride=1, width=width)])
    return network


def arch_definition(architecture: Mapping[str, Value]) -> list[list[str]]:
    """Return `network_blocks` in timm's words: one string per block.

    Args:
        architecture: Values of a candidate.

    Raises:
        SpaceError: A value is missing or cannot be built.
    """
    return [[_string(block) for block in blocks] for blocks in network_blocks(architecture)]


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


def _string(block: Block) -> str:
    parts = [block.kind, "r1", f"k{block.kernel}", f"s{block.stride}"]
    if block.expansion is not None:
        parts.append(f"e{_digits(block.expansion)}")
    parts.append(f"c{block.width}")
    if block.se_ratio:
        parts.append(f"se{_digits(block.se_ratio)}")
    if block.activation is not None:
        parts.append(f"n{_ACTIVATION_CODES[block.activation]}")
    return "_".join(parts)


def _digits(ratio: float) -> str:
    return f"{ratio:.6f}".rstrip("0").rstrip(".")  # timm's strings know no exponents


# --- reading --------------------------------------------------------------------------------


def _stage(architecture: Mapping[str, Value], stage: int) -> list[Block]:
    prefix = f"stage{stage}."
    depth = whole(architecture, f"{prefix}depth", least=0)
    if depth == 0:
        return []  # the settings of a stage that is not there are not there either
    kind = architecture.get(f"{prefix}block", "ir")
    if kind not in _KINDS:
        raise SpaceError(f"{prefix}block is {kind!r}; allowed: {', '.join(_KINDS)}")
    stride = whole(architecture, f"{prefix}stride", least=1, default=1)
    width = whole(architecture, f"{prefix}width", least=1)
    return [
        _block(
            _Settings(architecture=architecture, stage=prefix, block=f"{prefix}block{block}."),
            kind=cast(Kind, kind),
            stride=stride if block == 0 else 1,
            width=width,
        )
        for block in range(depth)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What holds for one block: its own values before those of its stage.

    Attributes:
        architecture: Values of a candidate.
        stage: How names of the stage begin ("stage1.").
        block: How names of the block begin ("stage1.block0.").
    """

    architecture: Mapping[str, Value]
    stage: str
    block: str

    def get(self, key: str) -> Value:
        """Return a value; None when it is missing."""
        own = self.architecture.get(self.block + key)
        return self.architecture.get(self.stage + key) if own is None else own

    def need(self, key: str) -> Value:
        """Return a value that may not be missing."""
        value = self.get(key)
        if value is None:
            raise SpaceError(f"{self.stage}{key} is missing")
        return value

    def ratio(self, key: str) -> float:
        """Return a number above 0, as exact as timm's strings can say it."""
        value = self.need(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise SpaceError(f"{self.stage}{key} is {value!r}; it must be a number above 0")
        return round(float(value), 6)


def _block(settings: _Settings, *, kind: Kind, stride: int, width: int) -> Block:
    kernel = settings.need("kernel")
    if kernel not in (3, 5, 7) or stride > 2:
        raise SpaceError(
            f"{settings.stage}kernel is {kernel!r} and {settings.stage}stride is {stride}; "
            "allowed are kernels 3, 5, 7 and strides 1, 2"
        )
    activation = settings.get("activation")
    if activation is not None and activation not in _ACTIVATION_CODES:
        allowed = ", ".join(_ACTIVATION_CODES)
        raise SpaceError(f"{settings.stage}activation is {activation!r}; allowed: {allowed}")
    return Block(
        kind=kind,
        kernel=int(cast(float, kernel)),
        stride=stride,
        width=width,
        expansion=None if kind == "ds" else settings.ratio("expansion"),
        se_ratio=settings.ratio("se_ratio") if settings.get("se_ratio") else 0.0,
        activation=activation,
    )

"""The part block networks share: the stem and the stages.

timm's own network classes fix the stem's stride at 2 and turn strides beyond a total of 32 into
dilation, so two candidates with different strides could be the same network. Here a stride is what
it says. Module names are those of timm, so weights can be exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timm.layers.create_act import get_act_layer
from timm.layers.norm_act import BatchNormAct2d
from timm.models._efficientnet_builder import EfficientNetBuilder as BlockBuilder
from timm.models._efficientnet_builder import decode_arch_def
from torch import nn

from ecoautoml.errors import SpaceError
from ecoautoml.models.arch import arch_definition, whole
from ecoautoml.records.candidate import Value

_NO_DILATION = 1 << 20  # a total stride no network reaches


def activation_layer(architecture: Mapping[str, Value]) -> Callable[..., nn.Module]:
    """Return the class of the network's own activation.

    Raises:
        SpaceError: There is no such activation.
    """
    name = str(architecture.get("activation", "relu"))
    try:
        layer = get_act_layer(name)
    except (KeyError, AssertionError):
        layer = None
    if layer is None:
        raise SpaceError(f"activation is {name!r}, which timm does not have")
    made: Callable[..., nn.Module] = layer
    return made


def stem(architecture: Mapping[str, Value], in_chans: int) -> tuple[nn.Module, nn.Module]:
    """Return the first convolution (3x3) and its normalisation with activation."""
    width = whole(architecture, "stem_width", least=1)
    stride = whole(architecture, "stem_stride", least=1, default=2)
    convolution = nn.Conv2d(in_chans, width, 3, stride=stride, padding=1, bias=False)
    return convolution, BatchNormAct2d(width, act_layer=activation_layer(architecture))


def stages(
    architecture: Mapping[str, Value],
    *,
    se_layer: Callable[..., nn.Module],
    se_from_expanded: bool,
    drop_path: float,
) -> tuple[nn.Sequential, int]:
    """Return the stages, and the width that comes out of them.

    Args:
        architecture: Values of a candidate.
        se_layer: Makes squeeze-and-excitation for a number of channels.
        se_from_expanded: Whether ``se_ratio`` is relative to the expanded width, else to the
            width that enters the block.
        drop_path: Rate of stochastic depth at the last block; it grows from 0 at the first.
    """
    builder = BlockBuilder(
        output_stride=_NO_DILATION,
        round_chs_fn=int,  # a width is the width, not its nearest multiple of 8
        se_from_exp=se_from_expanded,
        act_layer=activation_layer(architecture),
        norm_layer=nn.BatchNorm2d,
        se_layer=se_layer,
        drop_path_rate=drop_path,
    )
    # Decoded afresh for each network: timm's builder empties what it is given.
    blocks = decode_arch_def(arch_definition(architecture))
    modules = builder(whole(architecture, "stem_width", least=1), blocks)
    return nn.Sequential(*modules), int(builder.in_chs)

"""Candidate → network."""

from __future__ import annotations

from torch import nn

from ecoautoml.models.base import NetworkBuilder
from ecoautoml.records.candidate import Candidate
from ecoautoml.registry import Entry, Registry

BUILDERS: Registry[NetworkBuilder] = Registry(
    "builder",
    [
        Entry(
            name="mobilenet_v3",
            target="ecoautoml.models.mobilenet_v3:MobileNetV3Builder",
            description="stages of blocks; pooling comes before the head's convolution",
        ),
        Entry(
            name="efficientnet",
            target="ecoautoml.models.efficientnet:EfficientNetBuilder",
            description="stages of blocks; pooling comes after the head's convolution",
        ),
        Entry(
            name="timm",
            target="ecoautoml.models.zoo:TimmBuilder",
            description="an existing network of timm, by name",
        ),
        Entry(
            name="python",
            target="ecoautoml.models.function:FunctionBuilder",
            description='your own function, as "module:function"',
        ),
    ],
)


def build_network(candidate: Candidate, *, in_chans: int, num_classes: int) -> nn.Module:
    """Return the candidate's network with fresh random weights.

    Args:
        candidate: What to build.
        in_chans: Channels of the images: 1 grey, 3 colour.
        num_classes: Number of logits.

    Raises:
        SpaceError: The values do not make a network.
        ConfigError: No such builder.
    """
    builder = BUILDERS.get(candidate.builder)()
    return builder.build(candidate, in_chans=in_chans, num_classes=num_classes)

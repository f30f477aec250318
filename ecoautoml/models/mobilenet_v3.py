"""Block networks in the manner of MobileNetV3 (arXiv:1905.02244).

Shapes: b batch, c channels, h height, w width.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import efficientnet_init_weights, round_channels
from torch import Tensor, nn

from ecoautoml.models.arch import whole
from ecoautoml.models.base import NetworkBuilder, rate
from ecoautoml.models.blocks import activation_layer, stages, stem
from ecoautoml.records.candidate import Candidate, Value


class MobileNetV3Builder(NetworkBuilder):
    """Builds `MobileNetV3`."""

    def build(self, candidate: Candidate, *, in_chans: int, num_classes: int) -> nn.Module:
        """Return the network of the candidate."""
        return MobileNetV3(
            candidate.architecture,
            in_chans=in_chans,
            num_classes=num_classes,
            drop_path=rate(candidate, "drop_path"),
            dropout=rate(candidate, "dropout"),
        )


class MobileNetV3(nn.Module):
    """Stem, stages, pooling, and a head whose convolution works on the pooled pixel only.

    Args:
        architecture: Values of a candidate.
        in_chans: Channels of the images.
        num_classes: Number of logits.
        drop_path: Rate of stochastic depth at the last block.
        dropout: Rate of dropout before the classifier.
    """

    def __init__(
        self,
        architecture: Mapping[str, Value],
        *,
        in_chans: int,
        num_classes: int,
        drop_path: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        head_width = whole(architecture, "head_width", least=1)
        self.conv_stem, self.bn1 = stem(architecture, in_chans)
        self.blocks, width = stages(
            architecture,
            se_layer=partial(
                SqueezeExcite,
                gate_layer="hard_sigmoid",
                force_act_layer=nn.ReLU,
                rd_round_fn=round_channels,
            ),
            se_from_expanded=True,
            drop_path=drop_path,
        )
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_head = nn.Conv2d(width, head_width, 1)
        self.act2 = activation_layer(architecture)(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(head_width, num_classes)
        efficientnet_init_weights(self)

    def forward(self, image_bchw: Tensor) -> Tensor:
        """Return the logits, shape (b, num_classes)."""
        x = self.blocks(self.bn1(self.conv_stem(image_bchw)))
        x = self.act2(self.conv_head(self.global_pool(x)))
        logits: Tensor = self.classifier(self.dropout(torch.flatten(x, 1)))
        return logits

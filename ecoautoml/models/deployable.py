"""A network that takes raw pixels, so that the exported file needs no preprocessing beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Deployable(nn.Module):
    """Normalisation and network in one module.

    Shapes: b batch, c channels, h height, w width.

    Args:
        network: Takes normalised images (b, c, h, w), returns logits (b, num_classes).
        mean: Mean of each channel, of pixels scaled to 0..1.
        std: Standard deviation of each channel, of pixels scaled to 0..1; above 0.

    Raises:
        ValueError: ``mean`` and ``std`` differ in length, or a ``std`` is not above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f"mean {list(mean)} and std {list(std)} do not make a normalisation")
        self.network = network
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1))

    def forward(self, image_bchw: Tensor) -> Tensor:
        """Return the logits of pixels 0..255 (uint8 or float), shape (b, num_classes)."""
        logits: Tensor = self.network(self.normalised(image_bchw))
        return logits

    def normalised(self, image_bchw: Tensor) -> Tensor:
        """Return pixels 0..255 as the network takes them, same shape."""
        # One multiplication and one addition per pixel; the rest is a handful of constants.
        return image_bchw.to(self.mean.dtype) * (1 / (255 * self.std)) - self.mean / self.std

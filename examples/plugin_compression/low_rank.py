"""Low-rank factors: a layer becomes two thinner ones (Denton et al., arXiv:1404.0736)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from ecoautoml.compression.base import CompressionStep, StepContext, number
from ecoautoml.compression.layers import classifier_of
from ecoautoml.errors import TrialError
from ecoautoml.records.candidate import Value


class LowRank(CompressionStep):
    """Replaces 1x1 convolutions and linear layers by two factors where that saves parameters.

    Values: ``low_rank`` asks for it; ``low_rank_energy`` is the share of a weight matrix's squared
    norm that its factors keep, above 0 and at most 1. The classifier stays whole.
    """

    name: ClassVar[str] = "low_rank"
    after: ClassVar[frozenset[str]] = frozenset({"prune", "distil"})
    keys: ClassVar[tuple[str, ...]] = ("low_rank", "low_rank_energy")

    def is_asked(self, values: Mapping[str, Value]) -> bool:
        """Return whether ``low_rank`` is true."""
        return values.get("low_rank") is True

    def apply(self, network: nn.Module, context: StepContext) -> nn.Module:
        """Return the same network with factored layers.

        Raises:
            TrialError: ``low_rank_energy`` is no share.
        """
        energy = number(context.values, "low_rank_energy", default=0.9)
        if not 0 < energy <= 1:
            raise TrialError(f"compression.low_rank_energy is {energy}; it must be in 0..1, not 0")
        classifier = classifier_of(network, context.example)
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if layer is not classifier and _is_a_matrix(layer):
                    setattr(parent, name, _factored(layer, energy))
        return network


def _is_a_matrix(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding == (0, 0)
    return isinstance(layer, nn.Linear)


def _factored(layer: nn.Conv2d | nn.Linear, energy: float) -> nn.Module:
    """Return two layers whose product is nearly ``layer``, or ``layer`` when it is no larger."""
    weight_oi = layer.weight.detach().flatten(1)
    left, singular, right = torch.linalg.svd(weight_oi, full_matrices=False)
    kept = singular.square().cumsum(0) / singular.square().sum()
    rank = int((kept < energy - 1e-6).sum()) + 1
    n_out, n_in = weight_oi.shape
    if not torch.isfinite(kept).all() or rank * (n_out + n_in) >= n_out * n_in:
        return layer
    root = singular[:rank].sqrt()
    first, second = _pair(layer, rank)
    _set(first, root[:, None] * right[:rank], None)
    _set(second, left[:, :rank] * root, layer.bias)
    return nn.Sequential(first, second).train(layer.training)


def _pair(
    layer: nn.Conv2d | nn.Linear, rank: int
) -> tuple[nn.Conv2d | nn.Linear, nn.Conv2d | nn.Linear]:
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        first = nn.Linear(layer.in_features, rank, bias=False)
        return first, nn.Linear(rank, layer.out_features, bias=bias)
    thin = nn.Conv2d(layer.in_channels, rank, 1, stride=layer.stride, bias=False)
    return thin, nn.Conv2d(rank, layer.out_channels, 1, bias=bias)


def _set(layer: nn.Conv2d | nn.Linear, weight_oi: Tensor, bias: Tensor | None) -> None:
    layer.to(weight_oi.device)
    with torch.no_grad():
        layer.weight.copy_(weight_oi.reshape(layer.weight.shape))
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)

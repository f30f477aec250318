"""Sparsity: single weights become 0; the network keeps its shape.

Only a runtime with sparse kernels profits: for 2:4 those of NVIDIA GPUs from Ampere on, for
unstructured zeros hardly any. In all others a zero costs as much as any other weight, in time and
in energy, and an exported file is smaller only after it is compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from ecoautoml.compression.base import CompressionStep, StepContext, choice, share, whole
from ecoautoml.compression.layers import layers_in_order
from ecoautoml.errors import TrialError
from ecoautoml.records.candidate import Value

PATTERNS = ("none", "unstructured", "2:4")


class Sparsify(CompressionStep):
    """Sets the smallest weights to 0, of all layers but the first and the classifier.

    Values: ``sparsity`` is "unstructured" (the share ``sparsity_ratio`` of all weights, ranked over
    the whole network) or "2:4" (two of every four weights along the inputs; a layer with a number
    of inputs that four does not divide stays dense). ``sparsity_epochs`` trains with the zeros in
    place.
    """

    name: ClassVar[str] = "sparsify"
    after: ClassVar[frozenset[str]] = frozenset({"prune", "distil"})
    keys: ClassVar[tuple[str, ...]] = ("sparsity", "sparsity_ratio", "sparsity_epochs")

    def is_asked(self, values: Mapping[str, Value]) -> bool:
        """Return whether a pattern is named."""
        return choice(values, "sparsity", PATTERNS) != "none"

    def apply(self, network: nn.Module, context: StepContext) -> nn.Module:
        """Return the same network with zeros.

        Raises:
            TrialError: The values make no sense, or no layer can have the pattern.
        """
        values = context.values
        epochs = whole(values, "sparsity_epochs", default=0, least=0)
        layers = list(dict.fromkeys(layers_in_order(network, context.example)))[1:-1]
        if choice(values, "sparsity", PATTERNS) == "2:4":
            masks = two_of_four(layers)
        else:
            masks = smallest(layers, share(values, "sparsity_ratio"))
        if not masks:
            raise TrialError(
                "compression.sparsity: no layer between the first and the classifier fits"
            )
        with _kept(masks):
            if epochs:
                context.tune(network, epochs, None)
        return network


def smallest(layers: list[nn.Module], ratio: float) -> dict[nn.Module, Tensor]:
    """Return masks (1 keeps a weight) that drop a share of all weights, the smallest ones."""
    weights = {layer: _weight(layer) for layer in layers}
    if not weights:
        return {}
    sizes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    dropped = torch.zeros_like(sizes, dtype=torch.bool)
    dropped[torch.topk(sizes, int(ratio * len(sizes)), largest=False).indices] = True
    parts = (~dropped).split([weight.numel() for weight in weights.values()])
    return {
        layer: part.view_as(weight).to(weight.dtype)
        for (layer, weight), part in zip(weights.items(), parts, strict=True)
    }


def two_of_four(layers: list[nn.Module]) -> dict[nn.Module, Tensor]:
    """Return masks that drop the two smaller of every four weights along a layer's inputs.

    Layers whose inputs are no multiple of four, depthwise convolutions among them, get no mask.
    """
    masks = {}
    for layer in layers:
        weight = _weight(layer)
        if weight.shape[1] % 4:
            continue
        inputs_last = weight.movedim(1, -1)  # the kernels take a matrix (outputs, ..., inputs)
        fours = inputs_last.reshape(-1, 4).abs()
        mask = torch.zeros_like(fours).scatter_(1, torch.topk(fours, 2, dim=1).indices, 1.0)
        masks[layer] = mask.view(inputs_last.shape).movedim(-1, 1)
    return masks


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


@contextmanager
def _kept(masks: Mapping[nn.Module, Tensor]) -> Iterator[None]:
    """Keep dropped weights at 0: now, before every call and at the end."""
    handles = [layer.register_forward_pre_hook(_masking(mask)) for layer, mask in masks.items()]
    try:
        for layer, mask in masks.items():
            _weight(layer).mul_(mask)
        yield
        for layer, mask in masks.items():
            _weight(layer).mul_(mask)
    finally:
        for handle in handles:
            handle.remove()


def _masking(mask: Tensor) -> Callable[[nn.Module, object], None]:
    def hook(layer: nn.Module, inputs: object) -> None:
        _weight(layer).mul_(mask)

    return hook

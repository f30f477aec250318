"""Which layers of a network play a part of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ecoautoml.errors import TrialError


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode and back, part by part."""
    was_training = [part for part in network.modules() if part.training]
    network.eval()
    try:
        yield
    finally:
        for part in was_training:
            part.training = True


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's first parameter is; the CPU when it has none."""
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def logits_of(network: nn.Module, example: Tensor) -> Tensor:
    """Return the logits (b, k) of an example in evaluation mode, without gradients."""
    with evaluating(network), torch.no_grad():
        logits: Tensor = network(example.to(device_of(network)))
    return logits


def layers_in_order(network: nn.Module, example: Tensor) -> list[nn.Module]:
    """Return the convolutions and linear layers in the order in which an image meets them."""
    met: list[nn.Module] = []
    handles = [
        part.register_forward_hook(lambda module, inputs, output: met.append(module))
        for part in network.modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    ]
    try:
        logits_of(network, example)
    finally:
        for handle in handles:
            handle.remove()
    return met


def classifier_of(network: nn.Module, example: Tensor) -> nn.Module:
    """Return the last layer an image meets, the one that makes the logits.

    Raises:
        TrialError: The network has no convolution and no linear layer.
    """
    met = layers_in_order(network, example)
    if not met:
        raise TrialError("the network has no convolution or linear layer that could be compressed")
    return met[-1]

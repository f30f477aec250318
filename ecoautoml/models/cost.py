"""What a network costs by counting: parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_params(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def count_macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """Return the multiply-accumulates of convolutions and matrix products in one forward pass.

    Args:
        module: The network; its mode and its statistics are left as they are.
        input_shape: Shape of one input batch, such as (1, 3, 32, 32).
    """
    parameter = next(module.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    was_training = [part for part in module.modules() if part.training]
    module.eval()
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            module(torch.zeros(*input_shape, device=device))
    finally:
        for part in was_training:
            part.training = True
    return int(counter.get_total_flops()) // 2

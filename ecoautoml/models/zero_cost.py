"""What a network may become, told without training it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn


def synflow(network: nn.Module, input_shape: Sequence[int]) -> float | None:
    """Return how much flows through an untrained network's weights, above 0; None where none does.

    The sum over all weights of the absolute weight times the gradient of the summed logits, for an
    input of ones and absolute weights (Tanaka et al. 2020, arXiv 2006.05467). It grows by decades
    with depth and width; its logarithm is what can be compared.

    Args:
        network: Takes normalised images; it is left as it is.
        input_shape: Of one image, such as (1, 3, 32, 32).
    """
    linear = copy.deepcopy(network).cpu().double().eval()
    for part in linear.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.reset_running_stats()
    with torch.no_grad():
        for weight in linear.parameters():
            weight.abs_()
    try:
        with torch.enable_grad():
            linear(torch.ones(*input_shape, dtype=torch.float64)).sum().backward()
    except RuntimeError:  # it insists on a device or a precision of its own
        return None
    found = sum(
        float((weight.detach() * weight.grad).abs().sum())
        for weight in linear.parameters()
        if weight.grad is not None
    )
    return found if math.isfinite(found) and found > 0 else None

"""Widths of a network's layers, recorded and restored, so that pruned weights can be loaded.

Only widths: a network with other modules than its candidate's builder makes cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ecoautoml.errors import RunError

Shapes = dict[str, dict[str, int]]
"""Module name → attribute → width."""

_WIDTHS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.modules.conv._ConvNd, ("in_channels", "out_channels", "groups")),
    (nn.modules.batchnorm._NormBase, ("num_features",)),
    (nn.Linear, ("in_features", "out_features")),
    (nn.LayerNorm, ("normalized",)),
    (nn.GroupNorm, ("num_channels", "num_groups")),
)


def recorded_shapes(network: nn.Module) -> Shapes:
    """Return the widths of a network's convolutions, linear layers and normalisations by name."""
    return {
        name: {width: _width(part, width) for width in widths}
        for name, part in network.named_modules()
        if (widths := _widths_of(part))
    }


def differing_shapes(network: nn.Module, fresh: nn.Module) -> Shapes | None:
    """Return the recorded shapes of those layers of a network that a fresh one has otherwise.

    Returns:
        Empty when there are none; None when widths cannot turn the fresh network into this one,
        because a compression step put in other modules.
    """
    ours, theirs = recorded_shapes(network), recorded_shapes(fresh)
    if ours.keys() != theirs.keys():
        return None
    found = {name: widths for name, widths in ours.items() if widths != theirs[name]}
    if found:
        fresh = shaped_like(fresh, found)
    ours_state, theirs_state = network.state_dict(), fresh.state_dict()
    if ours_state.keys() != theirs_state.keys():
        return None
    if any(tensor.shape != theirs_state[name].shape for name, tensor in ours_state.items()):
        return None
    return found


def shaped_like(network: nn.Module, shapes: Mapping[str, Mapping[str, int]]) -> nn.Module:
    """Return a freshly built network with other widths, in place; the new weights are random.

    Args:
        network: What the candidate's builder made.
        shapes: From `recorded_shapes`; layers it does not name stay as they are.

    Raises:
        RunError: A layer does not exist in this network, or is of another kind.
    """
    parts = dict(network.named_modules())
    for name, widths in shapes.items():
        part = parts.get(name)
        if part is None or set(widths) != set(_widths_of(part)):
            raise RunError(f"the recorded shapes name a layer {name!r} that the network has not")
        for width, value in widths.items():
            if width == "normalized":
                part.normalized_shape = (*part.normalized_shape[:-1], int(value))
            else:
                setattr(part, width, int(value))
        _resize(part)
    return network


def _widths_of(part: nn.Module) -> tuple[str, ...]:
    for kind, widths in _WIDTHS:
        if isinstance(part, kind):
            return widths
    return ()


def _width(part: nn.Module, width: str) -> int:
    if width == "normalized":
        return int(part.normalized_shape[-1])  # type: ignore[index]
    return int(getattr(part, width))


def _resize(part: nn.Module) -> None:
    """Give a layer parameters and buffers of the sizes its attributes say."""
    wanted = _sizes(part)
    for name, tensor in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
        size = wanted.get(name)
        if size is None or tuple(tensor.shape) == size:
            continue
        fresh = torch.zeros(size, dtype=tensor.dtype, device=tensor.device)
        if isinstance(tensor, nn.Parameter):
            setattr(part, name, nn.Parameter(fresh, requires_grad=tensor.requires_grad))
        else:
            setattr(part, name, fresh)
    reset = getattr(part, "reset_parameters", None)
    if callable(reset):
        reset()


def _sizes(part: nn.Module) -> dict[str, tuple[int, ...]]:
    if isinstance(part, nn.modules.conv._ConvNd):
        first, second = part.out_channels, part.in_channels
        if part.transposed:
            first, second = second, first
        weight = (first, second // part.groups, *part.kernel_size)
        return {"weight": weight, "bias": (part.out_channels,)}
    if isinstance(part, nn.Linear):
        return {"weight": (part.out_features, part.in_features), "bias": (part.out_features,)}
    if isinstance(part, nn.LayerNorm):
        return dict.fromkeys(("weight", "bias"), tuple(part.normalized_shape))
    n_channels = int(getattr(part, "num_features", 0) or getattr(part, "num_channels", 0))
    return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (n_channels,))

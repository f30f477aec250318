"""Networks for tests, built by a user's own function: quick to train, and some misbehave."""

import ctypes
import itertools
import time

import torch
from torch import nn


class Exploding(nn.Module):
    """Gives NaN as soon as it is trained; scores like any other before."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        logits = self.network(image_bchw)
        return logits * float("nan") if self.training else logits


class Alone(nn.Module):
    """Takes one image at a time once it is trained."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting() and image_bchw.shape[0] != 1:
            raise ValueError("one image at a time, please")
        return self.network(image_bchw)


class Lying(nn.Sequential):
    """Says the opposite of itself in every exported file."""

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        logits = super().forward(image_bchw)
        return -logits if torch.compiler.is_exporting() else logits


class Misbehaving(nn.Module):
    """Does something drastic in the first training step."""

    def __init__(self, network: nn.Module, act) -> None:
        super().__init__()
        self.network, self.act = network, act

    def forward(self, image_bchw: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.act()
        return self.network(image_bchw)


def build(values, in_chans, num_classes):
    """Return a small network; ``behaviour`` decides what goes wrong with it."""
    width = int(values.get("width", 8))
    network = nn.Sequential(
        nn.Conv2d(in_chans, width, 3, stride=2, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )
    match values.get("behaviour", "ok"):
        case "lies":
            return Lying(*network)
        case "alone":
            return Alone(network)
        case "nan":
            return Exploding(network)
        case "segfault":
            return Misbehaving(network, lambda: ctypes.string_at(0))
        case "hang":
            return Misbehaving(network, lambda: time.sleep(3600))
        case "spin":
            return Misbehaving(network, _spin)
        case "spin_late":  # later than a look ahead of a few steps
            return Misbehaving(network, _after(40, _spin))
        case "memory":
            return Misbehaving(network, lambda: torch.ones(200_000_000_000, dtype=torch.uint8))
        case "memory_bit_by_bit":
            return Misbehaving(network, _fill_memory)
        case "raise":
            raise RuntimeError("this network cannot be built")
    return network


def _after(calls, act):
    made = itertools.count(1)
    return lambda: act() if next(made) > calls else None


def _spin() -> None:
    while True:
        pass


def _fill_memory() -> None:
    kept = []
    while True:
        kept.append(torch.ones(50_000_000, dtype=torch.float32))

"""What a builder of networks is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from ecoautoml.records.candidate import Candidate, Value


class NetworkBuilder(ABC):
    """Makes the network of a candidate.

    Called in any process, several times with equal candidates; each call returns a new module with
    fresh random weights, in training mode, on the CPU.
    """

    @abstractmethod
    def build(self, candidate: Candidate, *, in_chans: int, num_classes: int) -> nn.Module:
        """Return a network from images (batch, in_chans, h, w) to logits (batch, num_classes).

        Raises:
            SpaceError: The candidate's values do not make a network.
        """


def rate(candidate: Candidate, name: str) -> float:
    """Return a training value that is a rate, such as "dropout"; 0 when the candidate has none."""
    return float(_number(candidate.hyperparameters.get(name, 0.0)))


def _number(value: Value) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value

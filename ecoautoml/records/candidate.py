"""A candidate: one point of a search space, ready to be built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One point of a search space.

    Attributes:
        space: Name of the space it comes from.
        builder: Which builder makes the network (`ecoautoml.models`).
        architecture: Architecture values by name, only the active ones.
        hyperparameters: Training values by name, only the active ones.
        compression: Compression values by name (``quantize`` names the file's precision).
        runtime: Runtime values by name (``runtime`` names the member).
    """

    space: str
    builder: str
    architecture: Mapping[str, Value]
    hyperparameters: Mapping[str, Value]
    compression: Mapping[str, Value] = field(default_factory=dict)
    runtime: Mapping[str, Value] = field(default_factory=dict)

    def parameters(self) -> dict[str, Value]:
        """Return all values of the four sections in one mapping (names are unique in a space)."""
        return {**self.architecture, **self.hyperparameters, **self.compression, **self.runtime}

    def key(self) -> str:
        """Return a digest: equal for two candidates that would be the same trial."""
        return _digest([self.builder, self.parameters()])

    def probe_key(self) -> str:
        """Return a digest of what decides cost before training: all but the hyperparameters."""
        return _digest(
            [self.builder, dict(self.architecture), dict(self.compression), dict(self.runtime)]
        )

    def training_key(self) -> str:
        """Return a digest of what decides the trained network: the same for all its variants."""
        return _digest([self.builder, dict(self.architecture), dict(self.hyperparameters)])

    def network_key(self) -> str:
        """Return a digest of what decides the network but for its weights."""
        return _digest([self.builder, dict(self.architecture)])

    def form_key(self) -> str:
        """Return a digest of what is made of the trained network: the same for equal variants."""
        return _digest([dict(self.compression), dict(self.runtime)])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

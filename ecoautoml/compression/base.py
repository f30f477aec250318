"""The contract of a compression step: a trained network goes in, a cheaper one comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ecoautoml.errors import TrialError
from ecoautoml.records.candidate import Value

if TYPE_CHECKING:  # the steps are listed by commands that load no torch
    from torch import Tensor, nn

LossFn = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""(student logits (b, k), images (b, c, h, w), labels (b,)) → loss, a scalar."""
Tune = Callable[["nn.Module", int, LossFn | None], None]
"""Trains a network in place: network, epochs, loss (None: the trial's own)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step may use. Shapes: b batch, c channels, h height, w width, k classes.

    Attributes:
        values: The candidate's compression values by name.
        example: A normalised float image for tracing, shape (1, c, h, w).
        batches: Gives a few batches of normalised training images and labels, shapes (b, c, h, w)
            and (b,), on the network's device; each call starts afresh.
        tune: Trains a network in place for some epochs; must train that very object.
        teacher: The network to learn from, on the student's device and for the same images; None
            when there is none.
    """

    values: Mapping[str, Value]
    example: Tensor
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    tune: Tune
    teacher: nn.Module | None = None


class CompressionStep(ABC):
    """One way to make a trained network cheaper. Members keep no state between calls."""

    name: ClassVar[str]
    """Name in the registry."""
    after: ClassVar[frozenset[str]] = frozenset()
    """Names of the steps that may stand before this one, directly or not."""
    keys: ClassVar[tuple[str, ...]] = ()
    """Names of the compression values it reads."""

    @abstractmethod
    def is_asked(self, values: Mapping[str, Value]) -> bool:
        """Return whether these compression values ask for this step."""

    @abstractmethod
    def apply(self, network: nn.Module, context: StepContext) -> nn.Module:
        """Return the compressed network, which may be the same object changed.

        Raises:
            TrialError: The values make no sense, or the network cannot be compressed this way.
            MissingExtraError: A package is needed that is not installed.
        """


def choice(
    values: Mapping[str, Value], name: str, allowed: tuple[str, ...], default: str | None = None
) -> str:
    """Return a value that is one of a few words; the first when no default is named.

    Raises:
        TrialError: It is another.
    """
    given = values.get(name)
    if given is None:
        return allowed[0] if default is None else default
    if given not in allowed:
        raise TrialError(f"compression.{name} is {given!r}; allowed: {', '.join(allowed)}")
    return str(given)


def whole(values: Mapping[str, Value], name: str, *, default: int, least: int) -> int:
    """Return a whole number.

    Raises:
        TrialError: It is none, or below ``least``.
    """
    given = values.get(name)
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int | float) or given != int(given):
        raise TrialError(f"compression.{name} is {given!r}; it must be a whole number")
    if given < least:
        raise TrialError(f"compression.{name} is {given!r}; it must be at least {least}")
    return int(given)


def share(values: Mapping[str, Value], name: str) -> float:
    """Return a number above 0 and below 1.

    Raises:
        TrialError: It is missing or another.
    """
    given = number(values, name, default=None)
    if not 0 < given < 1:
        raise TrialError(f"compression.{name} is {given!r}; it must be above 0 and below 1")
    return given


def number(values: Mapping[str, Value], name: str, *, default: float | None) -> float:
    """Return a number.

    Raises:
        TrialError: It is none, or missing without a default.
    """
    given = values.get(name)
    given = default if given is None else given
    if given is None:
        raise TrialError(f"compression.{name} is missing")
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TrialError(f"compression.{name} is {given!r}; it must be a number")
    return float(given)

"""What measuring exported models yields: energy and latency of one, and comparisons of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ecoautoml.records.energy_reading import Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceMeasurement:
    """Energy and latency of an exported model in its runtime.

    Attributes:
        batch_size: Images per call.
        energy_j: Joules per image, mean over blocks; None when no meter could be read.
        energy_low_j: Lower end of the 95 % confidence interval of the mean.
        energy_high_j: Upper end of it.
        provenance: How the joules came about.
        source: Meter and model.
        latency_ms: Median time of one call (``batch_size`` images), in milliseconds.
        latency_p95_ms: 95th percentile of the same.
        n_blocks: Blocks behind the interval.
        is_precise: Whether the interval is as narrow as asked for.
        throughput_per_s: Images per second over the blocks, one call after the other; None unknown.
        flags: What was odd about some of the blocks, in words.
    """

    batch_size: int
    energy_j: float | None
    energy_low_j: float | None
    energy_high_j: float | None
    provenance: Provenance | None
    source: str
    latency_ms: float
    latency_p95_ms: float
    n_blocks: int
    is_precise: bool
    throughput_per_s: float | None = None
    flags: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """Return what keeps the joules from being as good as asked for; None: nothing does."""
        is_wide = self.energy_j is not None and not self.is_precise
        return (
            "; ".join((*(["interval wider than asked for"] if is_wide else []), *self.flags))
            or None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Which of two loads, measured in turn, needs less energy per image.

    Attributes:
        a: Name of the first.
        b: Name of the second.
        ratio: Joules of A per joule of B (geometric mean over rounds); None when unknown.
        ratio_low: Lower end of the interval of the ratio.
        ratio_high: Upper end of it.
        verdict: The one that needs less, or "tie" when the interval contains 1; None when unknown.
        n: Rounds behind it.
        confidence: Of the interval.
    """

    a: str
    b: str
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    verdict: Literal["A", "B", "tie"] | None
    n: int
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The models of a front, measured in turn in one session.

    Attributes:
        measurements: Energy and latency by trial number.
        comparisons: Every pair of them; ``a`` and ``b`` are trial numbers.
        rounds: Rounds made, every model once in each.
    """

    measurements: Mapping[int, InferenceMeasurement]
    comparisons: tuple[Comparison, ...]
    rounds: int

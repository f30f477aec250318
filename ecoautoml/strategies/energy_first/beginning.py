"""Which candidates are begun before there is anything to learn from, and how many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecoautoml.strategies.energy_first.priors import Priors

Array = NDArray[np.float64]
START, FEWEST = 20, 6
"""Candidates begun before the model is asked, at most and at least."""
START_TAKES = 2.5
"""Mean full trainings that first looks may take in between: of looks that take a third of a
training, 7 found more than 20 (docs/search_measured.md, "What did not help")."""


def first_ones(look: float) -> int:
    """Return how many candidates are begun before the model is asked.

    Args:
        look: What a first look takes, in full trainings.
    """
    return max(FEWEST, min(START, int(START_TAKES / look)))


def spread_over(
    known: Array, count: int, rows: Array, priors: Priors, rng: np.random.Generator
) -> list[int]:
    """Return candidates, one from each part of the range of what is known of them first.

    Every beginning of them is spread over that range, too.

    Args:
        known: What is known of candidates, ``(n, n_known)``; nothing: they are taken as they come.
        count: Parts.
        rows: The candidates as rows of a `Lattice`.
        priors: Every other one is likely by what the user supposes.
        rng: Chooses within a part.
    """
    order = np.argsort(known[:, 0], kind="stable") if known.shape[1] else np.arange(len(rows))
    parts = [part for part in np.array_split(order, count) if len(part)]
    chosen = [
        int(rng.choice(priors.half(part, rows, is_likely=index % 2 == 0)))
        for index, part in enumerate(parts)
    ]
    return _spread(chosen)


def _spread(items: Sequence[int]) -> list[int]:
    """Return items in an order in which every beginning is spread over all of them.

    Their places written in binary and read backwards (van der Corput 1935).
    """
    bits = max(len(items) - 1, 1).bit_length()
    order = sorted(range(len(items)), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))
    return [items[place] for place in order]

"""How far trainings go before they are looked at again."""

from __future__ import annotations

REDUCTION = 3
"""Each rung is so many times as long as the one before."""
MOST_RUNGS = 4
CLOSE = 1.6
"""A rung this near to the next one (as a ratio) is left out."""


def rung_shares(epochs: int) -> tuple[float, ...]:
    """Return the rungs of trainings of up to so many epochs, as shares of a training, ascending.

    A third, a ninth and a twenty-seventh of it, as far as these are whole epochs: 1, 3 and 8 of 8
    epochs, 7, 22, 67 and 200 of 200.
    """
    found = [epochs]
    for power in range(1, MOST_RUNGS):
        rung = max(1, round(epochs / REDUCTION**power))
        if rung * CLOSE <= found[-1]:
            found.append(rung)
    return tuple(rung / epochs for rung in reversed(found))


def rung_epochs(shares: tuple[float, ...], epochs: int) -> tuple[int, ...]:
    """Return after which epochs a training of so many epochs reaches each rung."""
    return tuple(max(1, min(epochs, round(share * epochs))) for share in shares)

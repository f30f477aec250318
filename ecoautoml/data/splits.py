"""Stratified choice of rows: how many of each class, and which."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_rows(
    labels: NDArray[np.int64], count: int, *, keep: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return rows chosen at random so that every class has its share, sorted.

    Every class gives at least one row and keeps at least ``keep``; so ``count`` is met as nearly
    as that allows.

    Args:
        labels: Class of each row, shape (n,); -1 marks rows that are not to be chosen.
        count: Rows wanted.
        keep: Rows of each class that must not be chosen.
        rng: Source of randomness.
    """
    classes, sizes = np.unique(labels[labels >= 0], return_counts=True)
    quotas = _quotas(sizes, count, keep)
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _quotas(sizes: NDArray[np.int64], count: int, keep: int) -> NDArray[np.int64]:
    """Return rows per class, in proportion to their sizes, by largest remainder."""
    high = sizes - keep
    ideal = count * sizes / sizes.sum()
    quotas: NDArray[np.int64] = np.clip(np.floor(ideal).astype(np.int64), 1, high)
    goal = min(max(count, len(sizes)), int(high.sum()))
    while quotas.sum() < goal:
        quotas[np.argmax(np.where(quotas < high, ideal - quotas, -np.inf))] += 1
    while quotas.sum() > goal:
        quotas[np.argmin(np.where(quotas > 1, ideal - quotas, np.inf))] -= 1
    return quotas

"""A search on a table: what a method may see, and the clock of what it has paid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from replay_tables import Table

MAX_IDLE = 200
"""Proposals in a row that had been trained before, after which a method has nothing new to say."""
WORTHWHILE = 0.001
"""Share of the true front's hypervolume that a stopped candidate would have added, to be missed."""


class Bought(NamedTuple):
    """One training that was paid for.

    Attributes:
        row: Which candidate.
        fidelity: To which fidelity; the last is a full training.
        error: What came out of it.
        cost: What was paid, in mean full trainings.
    """

    row: int
    fidelity: int
    error: float
    cost: float


@dataclass(slots=True)
class Replay:
    """One search on a table.

    Args:
        table: The table.
        seed: Seed of the search, and of which training of a candidate it sees.
        budget: Mean full trainings that may be paid for.
    """

    table: Table
    seed: int
    budget: float
    spent: float = 0.0
    bought: list[Bought] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    regrets: list[tuple[float, float]] = field(default_factory=list)
    proposals: int = 0
    thinking_s: float = 0.0
    _paid: dict[int, set[int]] = field(default_factory=dict)
    _seen: tuple[NDArray[np.float64], ...] = ()

    def __post_init__(self) -> None:
        self._seen = _one_training_each(self.table, self.seed)

    @property
    def is_over(self) -> bool:
        """Return whether the budget is spent, or there is nothing left to train."""
        return self.spent >= self.budget or len(self.trained) == len(self.table.candidates)

    @property
    def full(self) -> int:
        """Return the fidelity of a full training."""
        return len(self._seen) - 1

    def train(self, row: int, fidelity: int) -> float:
        """Pay for a training and return its error; the same again costs nothing.

        Where trainings are resumed, it goes on from the longest shorter one of the candidate, and
        passes all shorter ones. Separate runs pay for themselves alone.

        Args:
            row: Which candidate.
            fidelity: To which fidelity.
        """
        paid = self._paid.setdefault(row, set())
        error = float(self._seen[fidelity][row])
        if fidelity not in paid:
            cost = self.price(row, fidelity)
            paid |= set(range(fidelity + 1)) if self.table.is_resumed else {fidelity}
            self.spent += cost
            self.bought.append(Bought(row, fidelity, error, cost))
            if fidelity == self.full:
                self._add(row)
        return error

    def price(self, row: int, fidelity: int) -> float:
        """Return what a training costs now, in mean full trainings; known afterwards in life."""
        paid = self._paid.get(row, set())
        if fidelity in paid:
            return 0.0
        cost = float(self.table.costs[fidelity, row])
        if self.table.is_resumed and paid:
            cost -= float(self.table.costs[max(paid), row])
        return max(cost, 0.0)

    def energy(self, row: int) -> float:
        """Return a candidate's energy.

        Raises:
            LookupError: It is known from the first training on, and there was none.
        """
        if not self.table.is_energy_known and not self._paid.get(row):
            raise LookupError(f"the energy of candidate {row} is not known before it was trained")
        return float(self.table.energy[row])

    @contextmanager
    def thinking(self) -> Iterator[None]:
        """Count the time that choosing takes."""
        started_s = time.perf_counter()
        yield
        self.thinking_s += time.perf_counter() - started_s

    def stopped(self) -> list[int]:
        """Return which candidates were looked at and not trained in full."""
        return sorted(row for row, paid in self._paid.items() if paid and self.full not in paid)

    def wrongly_stopped(self) -> list[int]:
        """Return which of those would have been worth it.

        Each by itself would have added at least a thousandth of the true front's hypervolume to
        what was trained in full.
        """
        table, front = self.table, self.table.front(self.trained)
        without, least = table.volume(front), WORTHWHILE * table.best
        return [row for row in self.stopped() if table.volume([*front, row]) - without >= least]

    def _add(self, row: int) -> None:
        self.trained.append(row)
        self.regrets.append((self.spent, 1.0 - self.table.volume(self.trained) / self.table.best))


def _one_training_each(table: Table, seed: int) -> tuple[NDArray[np.float64], ...]:
    """Return the errors that a search sees: of one training of each candidate.

    What is resumed is one and the same training at all fidelities.
    """
    rng = np.random.default_rng([seed, 1])
    n = len(table.candidates)
    if table.is_resumed and len({len(each) for each in table.seeds}) == 1:
        which = rng.integers(len(table.seeds[0]), size=n)
        return tuple(each[which, np.arange(n)] for each in table.seeds)
    return tuple(each[rng.integers(len(each), size=n), np.arange(n)] for each in table.seeds)


Method = Callable[[Replay], None]

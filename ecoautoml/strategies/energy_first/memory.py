"""Kernel parameters found so far, so that they are not sought anew for every plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoautoml.strategies.energy_first.process import STEPS, Distances, Kernel, Process, fit

Array = NDArray[np.float64]
GROWTH = 1.25
"""Kernel parameters are sought again when there is a quarter more to learn from."""


class Memory:
    """Fits processes by name, from where their parameters were found last.

    Args:
        state: What another memory gave as its `state`; empty at first.
        rng: Chance; None: parameters stay as they are.
    """

    def __init__(self, state: Mapping[str, Any], rng: np.random.Generator | None) -> None:
        self._rng = rng
        self._known: dict[str, Any] = dict(state)
        self.has_changed = False

    @property
    def state(self) -> dict[str, Any]:
        """Return what is to be kept (JSON)."""
        return dict(self._known)

    def fit(
        self,
        name: str,
        basis: Array,
        apart: Distances,
        targets: Array,
        prior: Kernel,
        *,
        scale: float | None = None,
        least: int = 1,
    ) -> Process:
        """Return a process; its parameters are sought again when there is much more to learn from.

        Args:
            name: Which process.
            basis: As for `fit`, like the rest.
            apart: Distances.
            targets: Targets.
            prior: Parameters expected.
            scale: Unit of the targets.
            least: Targets below which the prior's parameters stay.
        """
        known, n = self._known.get(name), len(targets)
        start = prior if known is None else replace(prior, log=np.array(known["log"]))
        seen = 0 if known is None else int(known["n"])
        if self._rng is None or n < least or n < GROWTH * seen:
            rng, steps = np.random.default_rng(0), 0
        else:
            rng, steps = self._rng, STEPS
        process = fit(basis, apart, targets, prior, rng=rng, scale=scale, start=start, steps=steps)
        if steps:
            self._known[name] = {"log": [float(one) for one in process.kernel.log], "n": n}
            self.has_changed = True
        return process

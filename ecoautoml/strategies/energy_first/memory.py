"""Kernel parameters found so far, so that they are not sought anew for every plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoautoml.strategies.energy_first.process import STEPS, Kernel, Points, Process, fit

Array = NDArray[np.float64]
GROWTH = 1.25
"""Kernel parameters are sought again when there is a quarter more to learn from."""


class Memory:
    """Fits processes by name, from where their parameters were found last.

    Args:
        state: What another memory gave as its `state`; empty at first.
        may_change: Whether parameters may be sought again; else they stay as they are.
    """

    def __init__(self, state: Mapping[str, Any], *, may_change: bool = True) -> None:
        self._may_change = may_change
        self._known: dict[str, Any] = dict(state)

    @property
    def state(self) -> dict[str, Any]:
        """Return what is to be kept (JSON)."""
        return dict(self._known)

    def fit(
        self,
        name: str,
        points: Points,
        targets: Array,
        prior: Kernel,
        *,
        scale: float | None = None,
        least: int = 1,
        has_own_weights: bool = True,
    ) -> Process:
        """Return a process; its parameters are sought again when there is much more to learn from.

        Args:
            name: Which process.
            points: As for `fit`, like the rest.
            targets: Targets.
            prior: Parameters expected.
            scale: Unit of the targets.
            least: Targets below which the prior's parameters stay.
            has_own_weights: Whether weights are learnt too.
        """
        known, n = self._known.get(name), len(targets)
        start = prior if known is None else _kernel(known, prior, points)
        seen = 0 if known is None else int(known["n"])
        is_sought = self._may_change and n >= least and n >= GROWTH * seen
        steps = STEPS if is_sought else 0
        process = fit(
            points,
            targets,
            prior,
            scale=scale,
            start=start,
            steps=steps,
            has_own_weights=has_own_weights,
        )
        if is_sought:
            self._known[name] = {"n": n, **_written(process.kernel, has_own_weights)}
        return process


def _written(kernel: Kernel, has_own_weights: bool) -> dict[str, list[float]]:
    parts = {"log": kernel.log}
    if has_own_weights and kernel.log_ties is not None:
        parts["ties"] = kernel.log_ties
    if has_own_weights:
        parts["features"] = kernel.log_features
    return {name: [float(one) for one in part] for name, part in parts.items()}


def _kernel(known: Mapping[str, Any], prior: Kernel, points: Points) -> Kernel:
    """Return the parameters found last; weights only where the points still have their columns."""
    kernel = replace(prior, log=np.array(known["log"]))
    if len(known.get("ties", ())) == points.encoded.ties.shape[1] > 0:
        kernel = replace(kernel, log_ties=np.array(known["ties"]))
    if len(known.get("features", ())) == points.features.shape[1] > 0:
        kernel = replace(kernel, log_features=np.array(known["features"]))
    return kernel

"""The project's own method with one part of it switched off, or set otherwise, at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from replay_clock import Method, Replay
from replay_default import energy_first

from ecoautoml.strategies.energy_first import process, situation, worth

ONE_LOOK = {"LOOKS": np.zeros(1), "LOOK_WEIGHTS": np.ones(1)}
ABLATIONS: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "without-weights": [(process, {"WEIGHT_SPREAD": 1e-6})],
    "without-failures": [(situation, {"LEAST_TO_WORK": 1.0})],
    "without-looks-ahead": [(worth, ONE_LOOK)],
    "with-equal-prices": [(situation, {"PRICE_POWER": 0.0})],
    "with-full-prices": [(situation, {"PRICE_POWER": 1.0})],
}
"""By name: modules, and what their constants are instead."""


@contextmanager
def _set(changes: list[tuple[Any, Mapping[str, Any]]]) -> Iterator[None]:
    """Let modules have other constants; every replay has a process of its own, or waits."""
    before = [(module, {name: getattr(module, name) for name in new}) for module, new in changes]
    try:
        for module, new in changes:
            for name, value in new.items():
                setattr(module, name, value)
        yield
    finally:
        for module, old in before:
            for name, value in old.items():
                setattr(module, name, value)


def ablation(name: str) -> Method:
    """Return the method without one of its parts."""

    def run(replay: Replay) -> None:
        with _set(ABLATIONS[name]):
            energy_first(replay)

    return run


def without_neighbours(replay: Replay) -> None:
    """Consider candidates by chance alone."""
    energy_first(replay, n_random=500, n_neighbours=0)


def without_first_looks(replay: Replay) -> None:
    """Train every candidate in full at once."""
    energy_first(replay, has_first_looks=False)


def without_what_is_known(replay: Replay) -> None:
    """Know nothing of candidates beforehand but their energy."""
    table = replay.table
    n_known = int(table.is_energy_known)
    replay.table = replace(table, known=table.known[:, :n_known])
    energy_first(replay)
    replay.table = table


METHODS: dict[str, Method] = {
    **{name: ablation(name) for name in ABLATIONS},
    "without-neighbours": without_neighbours,
    "without-first-looks": without_first_looks,
    "without-what-is-known": without_what_is_known,
}

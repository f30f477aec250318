"""Pruners by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecoautoml.config.models import DominancePruner as DominanceConfig
from ecoautoml.config.models import PrunerConfig
from ecoautoml.records.progress import CONTINUE, Decision
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.dominance import DominancePruner


class NoPruner(Pruner):
    """Stops nothing."""

    def decide(self, trial: Running, history: History) -> Decision:
        """Return CONTINUE."""
        return CONTINUE


def make_pruner(config: PrunerConfig, objectives: Sequence[str]) -> Pruner:
    """Return the pruner that the configuration asks for."""
    return PRUNERS[config.kind](config, objectives)


def _dominance(config: PrunerConfig, objectives: Sequence[str]) -> Pruner:
    assert isinstance(config, DominanceConfig)
    return DominancePruner(
        objectives=objectives,
        warmup_fraction=config.warmup_fraction,
        min_curves=config.min_curves,
        margin=config.margin,
    )


PRUNERS: dict[str, Callable[[PrunerConfig, Sequence[str]], Pruner]] = {
    "dominance": _dominance,
    "none": lambda config, objectives: NoPruner(),
}

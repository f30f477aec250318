"""Pruners by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecoautoml.config.models import DominancePruner as DominanceConfig
from ecoautoml.config.models import PrunerConfig
from ecoautoml.records.progress import CONTINUE, Decision, Progress
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.strategies.base import Pruner
from ecoautoml.strategies.dominance import DominancePruner


class NoPruner(Pruner):
    """Stops nothing."""

    def decide(self, curve: Sequence[Progress], finished: Sequence[TrialResult]) -> Decision:
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

"""Pruners by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ecoautoml.config import models as config_models
from ecoautoml.config.models import PrunerConfig
from ecoautoml.records.progress import CONTINUE, Decision
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.curve_pruner import CurvePruner
from ecoautoml.strategies.dominance import DominancePruner
from ecoautoml.strategies.halving import HalvingPruner, Ladder
from ecoautoml.strategies.hyperband import hyperband_pruner
from ecoautoml.strategies.median import MedianPruner
from ecoautoml.strategies.patience import PatiencePruner


class NoPruner(Pruner):
    """Stops nothing."""

    def decide(self, trial: Running, history: History) -> Decision:
        """Return CONTINUE."""
        return CONTINUE


def make_pruner(config: PrunerConfig, objectives: Sequence[str], seed: int) -> Pruner:
    """Return the pruner that the configuration asks for.

    Args:
        config: The configuration.
        objectives: Objectives of the search, by column name.
        seed: Seed of the search.
    """
    return PRUNERS[config.kind](config, objectives, seed)


def _auto(config: PrunerConfig, objectives: Sequence[str], seed: int) -> Pruner:
    assert isinstance(config, config_models.AutoPruner)
    return CurvePruner(
        objectives=objectives,
        alpha=config.alpha,
        control_share=config.control_share,
        seed=seed,
    )


def _dominance(config: PrunerConfig, objectives: Sequence[str], seed: int) -> Pruner:
    assert isinstance(config, config_models.DominancePruner)
    return DominancePruner(
        objectives=objectives,
        warmup_fraction=config.warmup_fraction,
        min_curves=config.min_curves,
        margin=config.margin,
    )


def _halving(config: PrunerConfig, objectives: Sequence[str], seed: int) -> Pruner:
    assert isinstance(config, config_models.HalvingPruner)
    ladder = Ladder.of(config.reduction, config.min_share)
    return HalvingPruner(objectives=objectives, ladder=ladder, ranking=config.ranking, seed=seed)


def _hyperband(config: PrunerConfig, objectives: Sequence[str], seed: int) -> Pruner:
    assert isinstance(config, config_models.HyperbandPruner)
    ladder = Ladder.of(config.reduction, config.min_share)
    return hyperband_pruner(objectives=objectives, ladder=ladder, ranking=config.ranking, seed=seed)


def _median(config: PrunerConfig, objectives: Sequence[str], seed: int) -> Pruner:
    assert isinstance(config, config_models.MedianPruner)
    return MedianPruner(
        objectives=objectives,
        warmup_fraction=config.warmup_fraction,
        min_curves=config.min_curves,
    )


def _patience(config: PrunerConfig, objectives: Sequence[str], seed: int) -> Pruner:
    assert isinstance(config, config_models.PatiencePruner)
    return PatiencePruner(
        objectives=objectives,
        epochs=config.epochs,
        min_delta=config.min_delta,
        warmup_fraction=config.warmup_fraction,
    )


PRUNERS: dict[str, Callable[[PrunerConfig, Sequence[str], int], Pruner]] = {
    "auto": _auto,
    "dominance": _dominance,
    "halving": _halving,
    "hyperband": _hyperband,
    "median": _median,
    "patience": _patience,
    "none": lambda config, objectives, seed: NoPruner(),
}

"""Strategies: what to try next (samplers) and what to stop early (pruners).

Entry points: `ecoautoml.strategies.samplers.make_sampler`,
`ecoautoml.strategies.pruners.make_pruner`. For a study of one's own, in Optuna and without the rest
of the house: `EnergyFirstSampler` and `FrontPruner`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoautoml.strategies.optuna_study.pruner import FrontPruner
    from ecoautoml.strategies.optuna_study.sampler import EnergyFirstSampler

__all__ = ["EnergyFirstSampler", "FrontPruner"]

_LATE = {
    "EnergyFirstSampler": "ecoautoml.strategies.optuna_study.sampler",
    "FrontPruner": "ecoautoml.strategies.optuna_study.pruner",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that Optuna is only loaded where it is needed."""
    if name not in _LATE:
        raise AttributeError(f"module 'ecoautoml.strategies' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return __all__

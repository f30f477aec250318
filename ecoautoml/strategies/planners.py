"""Planners by name of their sampler."""

from __future__ import annotations

from collections.abc import Sequence

from ecoautoml.config.models import AutoSampler, SearchConfig
from ecoautoml.models.arithmetic import count_network
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.spaces.random import random_candidate
from ecoautoml.strategies.base import Earlier, Planner
from ecoautoml.strategies.energy_first.problem import Values
from ecoautoml.strategies.energy_first.rungs import rung_shares
from ecoautoml.strategies.energy_first.search import Aim, EnergyFirstPlanner, known_from

START, START_SHARE, LEAST_START = 16, 0.4, 4
"""Trials begun before a model is used: so many, this share of those allowed, at least."""
HALTING = ("halving", "hyperband")
"""Pruners that halt trials themselves."""
DEFAULT_EPOCHS = 5


def make_planner(
    config: SearchConfig,
    space: SearchSpace,
    *,
    image_size: int,
    in_chans: int,
    n_classes: int,
    earlier: Earlier | None = None,
) -> Planner | None:
    """Return the planner that the configuration asks for; None: an Optuna sampler proposes.

    Args:
        config: The search's configuration.
        space: Where candidates come from.
        image_size: Side of the images in pixels, where the space does not search it.
        in_chans: Channels of the images.
        n_classes: Number of classes.
        earlier: The earlier run that the configuration names.
    """
    sampler = config.sampler
    if not isinstance(sampler, AutoSampler):
        return None

    def count(values: Values) -> Sequence[float] | None:
        one = Candidate(
            space=space.name, builder=space.builder, architecture=values, hyperparameters={}
        )
        found = count_network(one, image_size=image_size, in_chans=in_chans, num_classes=n_classes)
        if found is None:
            return None
        return found.macs, found.params, found.activations, found.layers

    return EnergyFirstPlanner(
        space,
        Aim(
            objectives=config.objectives,
            constraints=config.parsed_constraints,
            prefer=config.prefer,
            guess_accuracy=1.0 / n_classes,
        ),
        shares=rung_shares(_most_epochs(config, space)),
        known=known_from(count, random_candidate(space, 0).parameters()),
        start=sampler.n_startup_trials or _start(config.budget.trials),
        may_pause=sampler.pause and config.pruner.kind not in HALTING,
        earlier=earlier,
        seed=config.seed,
    )


def _start(trials: int | None) -> int:
    if trials is None:
        return START
    return max(LEAST_START, min(START, round(START_SHARE * trials)))


def _most_epochs(config: SearchConfig, space: SearchSpace) -> int:
    """Return the epochs of the longest training."""
    if config.training.epochs is not None:
        return config.training.epochs
    for one in space.parameters:
        if one.name == "epochs":
            numbers = [v for v in one.values or (one.high,) if isinstance(v, int | float)]
            return int(max(numbers, default=DEFAULT_EPOCHS))
    return DEFAULT_EPOCHS

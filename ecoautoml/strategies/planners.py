"""Planners by name of their sampler."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence

from ecoautoml.config.models import AutoSampler, SearchConfig
from ecoautoml.errors import ConfigError, SpaceError
from ecoautoml.models.arithmetic import count_network
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.records.columns import SYNFLOW
from ecoautoml.spaces.dimensions import Dimension, SearchSpace
from ecoautoml.spaces.random import random_candidate
from ecoautoml.strategies.base import Earlier, Planner
from ecoautoml.strategies.energy_first.beginning import first_ones
from ecoautoml.strategies.energy_first.priors import Guess
from ecoautoml.strategies.energy_first.problem import Values
from ecoautoml.strategies.energy_first.rungs import rung_shares
from ecoautoml.strategies.energy_first.search import (
    LEAST_START,
    Aim,
    EnergyFirstPlanner,
    known_from,
)
from ecoautoml.strategies.wishes import (
    Wish,
    WishesFirst,
    asked_for,
    front_of,
    known_to_be_good,
)

START, TRIALS_SHARE = 16, 0.4
"""Trials begun before a model is used, at most; and their share of a number of trials."""
KNOWN_SHARE = 0.25
"""Published networks begun first: at most this share of the first trials."""
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
    """Return the planner that the configuration asks for; None: an Optuna sampler proposes all.

    Args:
        config: The search's configuration.
        space: Where candidates come from.
        image_size: Side of the images in pixels, where the space does not search it.
        in_chans: Channels of the images.
        n_classes: Number of classes.
        earlier: The earlier run that the configuration names.

    Raises:
        ConfigError: A point to begin with is no point of the space, or a best guess no value of it.
    """
    sampler = config.sampler
    guesses = _guesses(config, space)
    wishes = _wishes(config, space, image_size, earlier, guesses)
    planner = None
    if isinstance(sampler, AutoSampler):
        planner = _energy_first(
            config,
            sampler,
            space,
            image_size=image_size,
            in_chans=in_chans,
            n_classes=n_classes,
            earlier=earlier,
            guesses=guesses,
        )
    return WishesFirst(wishes, planner, sampler.kind) if wishes else planner


def check_wishes(config: SearchConfig, space: SearchSpace) -> None:
    """Refuse points to begin with, and best guesses, that the space does not hold.

    Raises:
        ConfigError: One sentence that names the key.
    """
    asked_for(space, config.sampler.begin_with, _filling(_guesses(config, space)))


def _guesses(config: SearchConfig, space: SearchSpace) -> dict[str, Guess]:
    """Return what the user supposes, by dimension; a key may be a pattern of names.

    Raises:
        ConfigError: There is no such dimension, or it does not allow the value.
    """
    found: dict[str, Guess] = {}
    priors = config.sampler.priors if isinstance(config.sampler, AutoSampler) else {}
    varying = [one.name for one in space.dimensions]
    for key, prior in priors.items():
        try:
            names = fnmatch.filter(varying, key) or [space.dimension(key).name]
            for name in names:
                value = space.dimension(name).accept(prior.best_guess)
                found[name] = Guess(value=value, confidence=prior.confidence)
        except SpaceError as error:
            raise ConfigError(f"sampler.priors.{key}: {error}") from None
    return found


def _wishes(
    config: SearchConfig,
    space: SearchSpace,
    image_size: int,
    earlier: Earlier | None,
    guesses: Mapping[str, Guess],
) -> list[Wish]:
    """Return what is begun first: the user's points, an earlier run's front, known networks."""
    sampler, fill = config.sampler, _filling(guesses)
    found = asked_for(space, sampler.begin_with, fill)
    if earlier is not None:
        found += front_of(earlier, space)
    if sampler.known_points:
        most = max(1, round(KNOWN_SHARE * _start(config, space)))
        known = known_to_be_good(space, image_size, fill, most)
        old = [] if earlier is None else [one.candidate.parameters() for one in earlier.results]
        found += [one for one in known if one.values not in old]
    return found


def _filling(guesses: Mapping[str, Guess]) -> Callable[[Dimension], Value]:
    """Return what gives a dimension's best guess, or its middle where there is none."""

    def fill(dimension: Dimension) -> Value:
        guess = guesses.get(dimension.name)
        return dimension.middle if guess is None else guess.value

    return fill


def _energy_first(
    config: SearchConfig,
    sampler: AutoSampler,
    space: SearchSpace,
    *,
    image_size: int,
    in_chans: int,
    n_classes: int,
    earlier: Earlier | None,
    guesses: Mapping[str, Guess],
) -> EnergyFirstPlanner:
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
            features=(SYNFLOW,) if sampler.zero_cost == "synflow" else (),
        ),
        shares=rung_shares(_most_epochs(config, space)),
        known=known_from(count, random_candidate(space, 0).parameters()),
        guesses=guesses,
        start=_start(config, space),
        may_pause=_may_pause(config),
        earlier=earlier,
        seed=config.seed,
    )


def _may_pause(config: SearchConfig) -> bool:
    """Return whether the planner may halt trainings for better ones."""
    is_asked = isinstance(config.sampler, AutoSampler) and config.sampler.pause
    return is_asked and config.pruner.kind not in HALTING


def _start(config: SearchConfig, space: SearchSpace) -> int:
    """Return how many trials are begun before a model is used."""
    trials, usual = config.budget.trials, START
    if isinstance(config.sampler, AutoSampler):
        if config.sampler.n_startup_trials:
            return config.sampler.n_startup_trials
        look = rung_shares(_most_epochs(config, space))[0] if _may_pause(config) else 1.0
        usual = min(usual, first_ones(look))
    return usual if trials is None else min(usual, max(LEAST_START, round(TRIALS_SHARE * trials)))


def _most_epochs(config: SearchConfig, space: SearchSpace) -> int:
    """Return the epochs of the longest training."""
    if config.training.epochs is not None:
        return config.training.epochs
    for one in space.parameters:
        if one.name == "epochs":
            numbers = [v for v in one.values or (one.high,) if isinstance(v, int | float)]
            return int(max(numbers, default=DEFAULT_EPOCHS))
    return DEFAULT_EPOCHS

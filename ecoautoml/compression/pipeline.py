"""The steps a candidate asks for, in their legal order."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import combinations

from torch import nn

from ecoautoml.compression import STEPS
from ecoautoml.compression.base import CompressionStep, StepContext
from ecoautoml.compression.layers import logits_of
from ecoautoml.errors import ConfigError, TrialError
from ecoautoml.records.candidate import Value


def steps_for(values: Mapping[str, Value]) -> tuple[CompressionStep, ...]:
    """Return the steps that compression values ask for, in the order in which they are applied.

    Raises:
        ConfigError: The registered steps have no order: a cycle, or one names a step that is
            not registered.
        TrialError: Two steps are asked for of which neither may follow the other.
    """
    steps, before = _ordered()
    asked = [step for step in steps if step.is_asked(values)]
    for first, second in combinations(asked, 2):
        if first.name not in before[second.name]:
            raise TrialError(
                f"compression: {first.name} and {second.name} cannot be combined; neither may "
                "stand after the other"
            )
    return tuple(asked)


def compress(network: nn.Module, context: StepContext) -> nn.Module:
    """Return a trained network after all steps its values ask for; the same when there are none.

    Args:
        network: Changed in place where a step can.
        context: What the steps may use; ``values`` decides which.

    Raises:
        TrialError: A step cannot be applied, or its network no longer gives the logits' shape.
        MissingExtraError: A step needs a package that is not installed.
        ConfigError: The registered steps have no order.
    """
    for step in steps_for(context.values):
        shape = logits_of(network, context.example).shape
        network = step.apply(network, context)
        try:
            got = logits_of(network, context.example).shape
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TrialError(f"{step.name} left a network that does not run: {reason}") from error
        if got != shape:
            raise TrialError(
                f"{step.name} changed the logits' shape from {tuple(shape)} to {tuple(got)}"
            )
    return network


def legal_chains() -> tuple[tuple[str, ...], ...]:
    """Return every non-empty set of registered steps that may be combined, in legal order.

    Raises:
        ConfigError: The registered steps have no order.
    """
    steps, before = _ordered()
    names = [step.name for step in steps]
    return tuple(
        chain
        for length in range(1, len(names) + 1)
        for chain in combinations(names, length)
        if all(first in before[second] for first, second in combinations(chain, 2))
    )


def _ordered() -> tuple[list[CompressionStep], dict[str, set[str]]]:
    """Return all registered steps in order, and for each the steps that may stand before it."""
    steps = {name: STEPS.get(name)() for name in STEPS.names()}
    for name, step in steps.items():
        missing = sorted(step.after - steps.keys())
        if missing:
            raise ConfigError(
                f"the compression step {name} comes after {', '.join(missing)}, which is not "
                "registered"
            )
    sorter = TopologicalSorter({name: sorted(step.after) for name, step in steps.items()})
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise ConfigError(f"the compression steps go round in a circle: {circle}") from None
    before: dict[str, set[str]] = {}
    for name in order:
        direct = steps[name].after
        before[name] = set(direct).union(*(before[earlier] for earlier in direct))
    return [steps[name] for name in order], before

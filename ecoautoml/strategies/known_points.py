"""Networks that are known to be good, where a space holds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from ecoautoml.errors import SpaceError
from ecoautoml.models.known_points import is_same_network, known_names, known_points
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode

_BLOCK = re.compile(r"(stage\d+\.)(?:block\d+\.)?(\w+)")


def known_candidates(
    space: SearchSpace, image_size: int, fill: Callable[[Dimension], Value]
) -> Iterator[tuple[str, Candidate]]:
    """Yield the published networks that a space holds, with their names, the cheapest first.

    They are taken at the resolution of the images: layers do not depend on it.

    Args:
        space: The space.
        image_size: Side of the images in pixels.
        fill: Gives the value of what does not belong to the network.
    """
    if space.builder == "timm":
        names = [name for name in known_names() if name in space.dimension("model").choices]
        networks: dict[str, dict[str, Value]] = {name: {"model": name} for name in names}
    else:
        networks = known_points(space.builder)
    for name, network in networks.items():
        found = _as_candidate(space, network, image_size, fill)
        if found is not None:
            yield name, found


def _as_candidate(
    space: SearchSpace,
    network: Mapping[str, Value],
    image_size: int,
    fill: Callable[[Dimension], Value],
) -> Candidate | None:
    """Return a network as a point of a space; None where the space does not hold it."""

    def choose(dimension: Dimension) -> Value:
        if dimension.section != "architecture":
            return fill(dimension)
        if dimension.name == "resolution":
            return _resolution(dimension, image_size)
        if dimension.name == "pretrained":  # published weights are not for others to ask for
            return False
        return _value(network, dimension.name)

    try:
        found = decode(space, choose)
        is_held = "model" in network or is_same_network(found.architecture, network)
    except SpaceError:  # a value of it is not in the space
        return None
    return found if is_held else None


def _value(network: Mapping[str, Value], name: str) -> Value:
    """Return a value, also where the space has it per block and the network per stage, or so.

    Raises:
        SpaceError: The network has no such value.
    """
    if name in network:
        return network[name]
    match = _BLOCK.fullmatch(name)
    near = [] if match is None else [match[1] + match[2], f"{match[1]}block0.{match[2]}"]
    for other in near:
        if other in network:
            return network[other]
    raise SpaceError(f"the network has no {name}")


def _resolution(dimension: Dimension, image_size: int) -> Value:
    """Return the least resolution of a space that loses nothing of the images."""
    values = [one for one in dimension.values or () if isinstance(one, int | float)]
    if not values:
        low, high = dimension.low or 1.0, dimension.high or 1.0
        return min(max(image_size, low), high)
    return next((one for one in sorted(values) if one >= image_size), max(values))

"""Independent random points of a space."""

from __future__ import annotations

import math
import random

from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode


def random_candidate(space: SearchSpace, seed: int) -> Candidate:
    """Return a random point; the same seed gives the same point."""
    source = random.Random(seed)
    return decode(space, lambda dimension: _choose(dimension, source))


def _choose(dimension: Dimension, source: random.Random) -> Value:
    if dimension.values is not None:
        return source.choice(dimension.values)
    assert dimension.low is not None
    assert dimension.high is not None
    if not dimension.log:
        return source.uniform(dimension.low, dimension.high)
    return math.exp(source.uniform(math.log(dimension.low), math.log(dimension.high)))

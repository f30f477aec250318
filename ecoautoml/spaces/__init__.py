"""Search spaces: a YAML file becomes dimensions, and values of them become a `Candidate`.

Entry points: `load_space` (name, file or mapping → `SearchSpace`), `decode` (ask for one value
after the other → `Candidate`), `candidate` (values → `Candidate`), `neighbours` (one step away).
Errors: `SpaceError`, one sentence that names the file, the key path, what was given and what is
allowed. Nothing here imports torch or timm.
"""

from ecoautoml.spaces.dimensions import (
    Condition,
    Dimension,
    SearchSpace,
    candidate,
    decode,
    is_active,
    validate_point,
    with_choices,
)
from ecoautoml.spaces.load import load_space
from ecoautoml.spaces.locate import find_space, list_spaces
from ecoautoml.spaces.neighbours import neighbours

__all__ = [
    "Condition",
    "Dimension",
    "SearchSpace",
    "candidate",
    "decode",
    "find_space",
    "is_active",
    "list_spaces",
    "load_space",
    "neighbours",
    "validate_point",
    "with_choices",
]

"""Published networks as candidates of the shipped spaces."""

from ecoautoml.models.known_points import known_points
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces import SearchSpace, candidate, load_space, validate_point

POINTS = {
    name: (builder, architecture)
    for builder in ("mobilenet_v3", "efficientnet")
    for name, architecture in known_points(builder).items()
}
TRAINING = {
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1.0e-4,
    "batch_size": 64,
    "warmup_epochs": 2,
    "label_smoothing": 0.05,
    "drop_path": 0.0,
    "dropout": 0.0,
    "augmentation": "flip",
    "mixup": 0.1,
    "ema_decay": 0.99,
}


def published(name: str) -> tuple[SearchSpace, Candidate]:
    """Return a published network, and the space of its builder, which is named after it."""
    builder, architecture = POINTS[name]
    space = load_space(builder)
    values = {**architecture, **TRAINING}
    values = {name: value for name, value in values.items() if value != "ir"}  # the default
    validate_point(space, values)
    return space, candidate(space, values)

"""The words a space may use, and which values they may take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal

from ecoautoml.records.precisions import PRECISIONS

ACTIVATIONS = ("relu", "relu6", "hard_swish", "swish", "mish")
AUGMENTATIONS = ("none", "shift", "flip", "shift_flip", "shift_flip_erase")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which values one key may take.

    Attributes:
        kind: Their type; "number" is an integer or a float, "any" every scalar.
        low: Smallest number.
        high: Largest number.
        names: The only values.
        is_open: Whether ``low`` itself is not allowed.
    """

    kind: Literal["int", "float", "number", "name", "bool", "any"]
    low: float = -math.inf
    high: float = math.inf
    names: tuple[object, ...] = ()
    is_open: bool = False

    def allows(self, value: object) -> bool:
        """Return whether the value is allowed."""
        if self.kind == "any":
            return True
        if self.kind == "bool" or isinstance(value, bool):
            return self.kind == "bool" and isinstance(value, bool)
        if self.kind == "name":
            return isinstance(value, str) and (not self.names or value in self.names)
        is_number = isinstance(value, int) if self.kind == "int" else isinstance(value, int | float)
        return is_number and self._contains(value)

    def _contains(self, value: object) -> bool:
        if self.names:
            return value in self.names
        number = float(value)  # type: ignore[arg-type]  # callers pass numbers only
        return (self.low < number if self.is_open else self.low <= number) and number <= self.high

    @property
    def allowed(self) -> str:
        """Return what is allowed, in words."""
        if self.names:
            return ", ".join(str(name) for name in self.names)
        noun = _NOUNS[self.kind]
        if self.low == -math.inf:
            return noun
        below = "" if self.high == math.inf else f", at most {self.high:g}"
        return f"{noun} {'above' if self.is_open else 'of at least'} {self.low:g}{below}"


_NOUNS = {
    "int": "an integer",
    "float": "a number",
    "number": "a number",
    "name": "a name",
    "bool": "true or false",
    "any": "a scalar",
}

_RESOLUTION = Rule(kind="int", low=4, high=2048)
_WIDTH = Rule(kind="int", low=1, high=8192)

_BLOCK_NETWORK: Mapping[str, Rule] = {
    "resolution": _RESOLUTION,
    "stem_width": _WIDTH,
    "stem_stride": Rule(kind="int", names=(1, 2)),
    "activation": Rule(kind="name", names=ACTIVATIONS),
    "head_width": _WIDTH,
}

ARCHITECTURES: Mapping[str, Mapping[str, Rule]] = {
    "mobilenet_v3": {**_BLOCK_NETWORK, "final_width": _WIDTH},
    "efficientnet": _BLOCK_NETWORK,
    "timm": {
        "model": Rule(kind="name"),
        "pretrained": Rule(kind="bool"),
        "resolution": _RESOLUTION,
    },
    "python": {"function": Rule(kind="name"), "resolution": _RESOLUTION},
}
"""Keys of ``architecture`` by builder, beside ``builder`` and ``stages``."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "mobilenet_v3": ("stem_width", "activation", "final_width", "head_width", "stages"),
    "efficientnet": ("stem_width", "activation", "head_width", "stages"),
    "timm": ("model",),
    "python": ("function",),
}
"""Keys of ``architecture`` that cannot be left out, by builder."""

BLOCK_BUILDERS = ("mobilenet_v3", "efficientnet")
"""Builders whose networks are stages of blocks."""

STAGE: Mapping[str, Rule] = {
    "depth": Rule(kind="int", low=0, high=64),
    "block": Rule(kind="name", names=("ds", "ir", "er")),
    "kernel": Rule(kind="int", names=(3, 5, 7)),
    "stride": Rule(kind="int", names=(1, 2)),
    "width": _WIDTH,
    "expansion": Rule(kind="number", low=1, high=16),
    "se_ratio": Rule(kind="number", low=0, high=1),
    "activation": Rule(kind="name", names=ACTIVATIONS),
}
"""Keys of one stage."""

PER_BLOCK_KEYS = ("kernel", "expansion", "se_ratio", "activation")
"""Keys of a stage that may differ from block to block."""

HYPERPARAMETERS: Mapping[str, Rule] = {
    "optimizer": Rule(kind="name"),
    "learning_rate": Rule(kind="float", low=0, is_open=True),
    "weight_decay": Rule(kind="float", low=0),
    "momentum": Rule(kind="float", low=0, high=1),
    "batch_size": Rule(kind="int", low=1),
    "schedule": Rule(kind="name", names=("cosine", "step", "none")),
    "warmup_epochs": Rule(kind="number", low=0),
    "label_smoothing": Rule(kind="float", low=0, high=1),
    "drop_path": Rule(kind="float", low=0, high=0.999),
    "dropout": Rule(kind="float", low=0, high=0.999),
    "augmentation": Rule(kind="name", names=AUGMENTATIONS),
    "mixup": Rule(kind="float", low=0),
    "ema_decay": Rule(kind="float", low=0, high=1),
    "epochs": Rule(kind="int", low=1),
    "precision": Rule(kind="name", names=("auto", "fp32", "bf16", "fp16")),
    "low_precision_from": Rule(kind="number", low=0, high=1),
    "accumulation": Rule(kind="int", low=1),
    "channels_last": Rule(kind="bool"),
    "progressive_resolution": Rule(kind="number", low=0, high=1, is_open=True),
    "trainable": Rule(kind="name", names=("all", "head", "last_half")),
    "subset_fraction": Rule(kind="number", low=0, high=1, is_open=True),
    "subset_until": Rule(kind="number", low=0, high=1),
    "patience": Rule(kind="int", low=0),
}
"""What the trainer understands."""

ANY = Rule(kind="any")

_SHARE = Rule(kind="float", low=0.01, high=0.95)

COMPRESSION: Mapping[str, Rule] = {
    "prune": Rule(kind="name", names=("none", "magnitude", "taylor", "bn_scale")),
    "prune_ratio": _SHARE,
    "prune_scope": Rule(kind="name", names=("global", "local")),
    "prune_round": Rule(kind="int", low=1, high=64),
    "prune_steps": Rule(kind="int", low=1, high=32),
    "finetune_epochs": Rule(kind="int", low=0),
    "sparsity": Rule(kind="name", names=("none", "unstructured", "2:4")),
    "sparsity_ratio": _SHARE,
    "sparsity_epochs": Rule(kind="int", low=0),
    "distil": Rule(kind="name", names=("none", "logits", "features")),
    "distil_teacher": Rule(kind="name"),
    "distil_temperature": Rule(kind="float", low=0, is_open=True),
    "distil_weight": Rule(kind="float", low=0, high=1),
    "distil_epochs": Rule(kind="int", low=1),
    "quantize": Rule(kind="name", names=("none", *PRECISIONS[1:])),
}
"""What can be done to a trained network; ``quantize`` names the precision of the exported file."""

RUNTIME: Mapping[str, Rule] = {"runtime": Rule(kind="name")}
"""Which names there are is known in the runtimes' room, not here."""

SECTION_KEYS: Mapping[str, Mapping[str, Rule]] = {
    "hyperparameters": HYPERPARAMETERS,
    "runtime": RUNTIME,
}
"""Keys of the sections beside the architecture."""

STEPS = ("prune", "distil", "sparsity")
"""Keys that say whether a step of our own is taken."""

PLUGIN_STEPS = "ecoautoml.compression"
"""Entry-point group through which other packages add compression steps."""


def compression_rules(keys: Iterable[str]) -> dict[str, Rule]:
    """Return the rules of the compression keys there are.

    A step of another package brings its name and whatever begins with it ("low_rank",
    "low_rank_energy"); those take any scalar.

    Args:
        keys: Keys that are given.
    """
    steps = compression_steps()[len(STEPS) :]
    theirs = sorted(key for key in keys if key in steps or owner_of(key, steps) is not None)
    return {**COMPRESSION, **dict.fromkeys([*steps, *theirs], ANY)}


def compression_steps() -> tuple[str, ...]:
    """Return the keys that say whether a step is taken, other packages' last."""
    return (*STEPS, *(one.name for one in entry_points(group=PLUGIN_STEPS)))


def owner_of(key: str, steps: Iterable[str]) -> str | None:
    """Return the key that says whether the step is taken to which another key belongs.

    "prune_ratio" belongs to "prune", and means nothing without; None: it is a step's own key.
    """
    if key == "finetune_epochs":
        return "prune"
    return next((step for step in steps if key.startswith(f"{step}_")), None)

"""Published networks as values of architectures, for the builders that build from blocks.

Imports neither torch nor timm.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ecoautoml.models.arch import network_blocks
from ecoautoml.records.candidate import Value

FILE = Path(__file__).with_suffix(".yaml")


def known_points(builder: str) -> dict[str, dict[str, Value]]:
    """Return the published networks of a builder, by timm's names, as `network_blocks` reads them.

    Those of fewest operations stand first; none for builders that do not build from blocks.
    """
    found = _read()
    return {name: _flat(one) for name, one in found.items() if one["builder"] == builder}


def known_names() -> list[str]:
    """Return the names of all published networks."""
    return list(_read())


def is_same_network(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Return whether two architectures of one builder have the same layers; at any resolution.

    Raises:
        SpaceError: A value is missing or cannot be built.
    """
    return _layers(one) == _layers(other)


@functools.cache
def _read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def _flat(point: Mapping[str, Any]) -> dict[str, Value]:
    values: dict[str, Value] = dict(point["values"])
    for index, stage in enumerate(point["stages"]):
        settings = dict(stage)
        expansions = settings.pop("expansion", [])
        if settings.setdefault("depth", len(expansions) or 1):
            settings.setdefault("block", "ir" if expansions else "ds")
        values |= {f"stage{index}.{key}": value for key, value in settings.items()}
        values |= {f"stage{index}.block{j}.expansion": e for j, e in enumerate(expansions)}
    return values


def _layers(architecture: Mapping[str, Value]) -> tuple[object, ...]:
    activation = str(architecture.get("activation", "relu"))
    blocks = [
        [replace(one, activation=one.activation or activation) for one in stage]
        for stage in network_blocks(architecture)
    ]
    stem = architecture.get("stem_width"), architecture.get("stem_stride", 2)
    return stem, activation, blocks, architecture.get("head_width")

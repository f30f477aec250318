"""Existing networks of timm, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import timm
from torch import nn

from ecoautoml.errors import SpaceError
from ecoautoml.models.base import NetworkBuilder, rate
from ecoautoml.models.pretrained import find_weights
from ecoautoml.records.candidate import Candidate

_WILDCARDS = frozenset("*?[")


class TimmBuilder(NetworkBuilder):
    """Builds a network of timm with the classifier of the task."""

    def build(self, candidate: Candidate, *, in_chans: int, num_classes: int) -> nn.Module:
        """Return the network, with published weights when ``pretrained`` is true."""
        name = str(candidate.architecture.get("model", ""))
        (name,) = expand_timm_names([name])
        options = _options(candidate, name)
        if candidate.architecture.get("pretrained", False):
            options |= find_weights(name)
        try:
            network: nn.Module = timm.create_model(
                name, in_chans=in_chans, num_classes=num_classes, **options
            )
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SpaceError(f"timm cannot build {name} with {options}: {reason}") from error
        return network


def expand_timm_names(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the timm names that names and patterns ("mobilenetv4_conv_*") stand for, in order.

    Raises:
        SpaceError: A name does not exist, or a pattern matches nothing.
    """
    names: dict[str, None] = {}
    for pattern in patterns:
        if _WILDCARDS & set(pattern):
            found = timm.list_models(pattern)
            if not found:
                raise SpaceError(f"architecture.model: no timm model matches {pattern!r}")
            names |= dict.fromkeys(found)
        elif timm.is_model(pattern):
            names[pattern] = None
        else:
            near = difflib.get_close_matches(pattern, timm.list_models(), n=5, cutoff=0.4)
            hint = f"; near are {', '.join(near)}" if near else ""
            raise SpaceError(f"architecture.model: timm has no model {pattern!r}{hint}")
    return tuple(names)


def _options(candidate: Candidate, name: str) -> dict[str, Any]:
    """Return the arguments of timm that follow from the candidate; only those that matter."""
    names = {"drop_rate": "dropout", "drop_path_rate": "drop_path"}
    options: dict[str, Any] = {key: rate(candidate, name) for key, name in names.items()}
    options = {key: value for key, value in options.items() if value > 0}
    config = timm.get_pretrained_cfg(name)
    resolution = candidate.architecture.get("resolution")
    if config is not None and config.fixed_input_size and resolution is not None:
        options["img_size"] = resolution
    return options

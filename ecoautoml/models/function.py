"""Networks from a function of the user's: "module:function"."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from torch import nn

from ecoautoml.errors import SpaceError
from ecoautoml.models.base import NetworkBuilder
from ecoautoml.records.candidate import Candidate, Value


class FunctionBuilder(NetworkBuilder):
    """Calls ``function(values, in_chans, num_classes)``, where values are the architecture's."""

    def build(self, candidate: Candidate, *, in_chans: int, num_classes: int) -> nn.Module:
        """Return what the function returns."""
        target = str(candidate.architecture.get("function", ""))
        function = import_function(target)
        values = {k: v for k, v in candidate.architecture.items() if k != "function"}
        try:
            network = function(values, in_chans, num_classes)
        except Exception as error:
            raise SpaceError(
                f"{target} failed with {type(error).__name__}: {error} (values {values})"
            ) from error
        if not isinstance(network, nn.Module):
            raise SpaceError(f"{target} returned {type(network).__name__}, not a torch nn.Module")
        return network


def import_function(
    target: str,
) -> Callable[[dict[str, Value], int, int], object]:
    """Return the function named "module:function".

    Raises:
        SpaceError: It is not of that form, or cannot be imported.
    """
    module_name, separator, name = target.partition(":")
    if not (module_name and separator and name):
        raise SpaceError(f"architecture.function is {target!r}; write it as 'module:function'")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise SpaceError(
            f"architecture.function: module {module_name!r} cannot be imported "
            f"({type(error).__name__}: {error}); install it, or put its folder on PYTHONPATH"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise SpaceError(f"architecture.function: module {module_name!r} has no function {name!r}")
    found: Callable[[dict[str, Value], int, int], object] = function
    return found

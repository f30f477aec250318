"""Graphs of networks traced lately: the forms of one network, and its likes, share theirs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ecoautoml.runtimes.base import TracedModel

MOST = 4
"""Graphs kept; each is about as large as its network's weights."""

Key = tuple[object, ...]


class TraceCache:
    """Keeps the graphs used last: tracing is most of what exporting takes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, TracedModel] = OrderedDict()

    def get(self, key: Key, trace: Callable[[], TracedModel]) -> TracedModel:
        """Return the graph called ``key``, traced now when it is not kept.

        Args:
            key: What decides the graph: runtime, network without its weights, and input's shape.
            trace: Makes it.
        """
        found = self._kept.pop(key, None) or trace()
        self._kept[key] = found
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return found

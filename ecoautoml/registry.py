"""Named parts: an explicit list per room, loaded on first use, open to plug-ins."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from ecoautoml.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member: its name in YAML, where it lives ("module:attribute") and what it is."""

    name: str
    target: str
    description: str


class Registry(Generic[T]):
    """Name → member of one room.

    Args:
        kind: What the members are, singular, for messages ("meter").
        entries: The members this package ships.
        group: Entry-point group through which other packages add members.
    """

    def __init__(self, kind: str, entries: Iterable[Entry], *, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Add a member; raises ``ValueError`` when the name is taken."""
        if entry.name in self._entries:
            raise ValueError(f"two {self.kind}s are called {entry.name!r}")
        self._entries[entry.name] = entry

    def entries(self) -> tuple[Entry, ...]:
        """Return all members, plug-ins last."""
        return (*self._entries.values(), *self._plugins())

    def names(self) -> tuple[str, ...]:
        """Return the names of all members."""
        return tuple(entry.name for entry in self.entries())

    def get(self, name: str) -> type[T]:
        """Import and return the member called ``name``.

        Raises:
            ConfigError: No such member; the message lists the nearest names.
        """
        for entry in self.entries():
            if entry.name == name:
                module, _, attribute = entry.target.partition(":")
                member: type[T] = getattr(importlib.import_module(module), attribute)
                return member
        raise ConfigError(f"no {self.kind} is called {name!r}{suggest(name, self.names())}")

    def _plugins(self) -> tuple[Entry, ...]:
        if self._group is None:
            return ()
        return tuple(
            Entry(name=point.name, target=point.value, description=f"plug-in {point.value}")
            for point in entry_points(group=self._group)
            if point.name not in self._entries
        )


def suggest(given: str, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'x'? Allowed: a, b, c." for a name that does not exist."""
    names = list(allowed)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{hint} Allowed: {', '.join(names)}."

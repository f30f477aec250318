"""Label values as they are found → indices into class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecoautoml.data.sources.base import shortened
from ecoautoml.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """Which label value means which class.

    Attributes:
        class_names: All class names, in order.
        indices: Label value (integer or string) → index into ``class_names``.
    """

    class_names: tuple[str, ...]
    indices: Mapping[Any, int]

    @classmethod
    def from_names(cls, names: Sequence[str]) -> LabelTable:
        """Return the table of named classes: labels are the names, or integers that count them."""
        table: dict[Any, int] = {name: index for index, name in enumerate(names)}
        table.update({index: index for index in range(len(names))})
        return cls(class_names=tuple(names), indices=table)

    @classmethod
    def from_values(cls, values: Sequence[Any], where: str) -> LabelTable:
        """Return the table of the classes found in training labels, sorted.

        Raises:
            DataError: A label is neither an integer nor a string, or they are mixed.
        """
        kinds = {str if isinstance(value, str) else type(value) for value in values}
        if not (kinds <= {int, bool} or kinds == {str}):
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise DataError(
                f"data: labels of {where} are of type {names}; give integers or strings throughout"
            )
        unique = sorted(set(values))
        return cls(
            class_names=tuple(str(value) for value in unique),
            indices={value: index for index, value in enumerate(unique)},
        )

    def encode(self, values: Sequence[Any], where: str) -> NDArray[np.int64]:
        """Return class indices, shape (n,).

        Args:
            values: Label values.
            where: What they belong to, for messages.

        Raises:
            DataError: A value belongs to no class.
        """
        try:
            return np.fromiter((self.indices[value] for value in values), np.int64, len(values))
        except (KeyError, TypeError):
            strange = sorted({repr(v) for v in values if not self._has(v)})
            raise DataError(
                f"data: {where} holds the label {shortened(strange)}, which is none of the "
                f"{len(self.class_names)} classes of the training images "
                f"({shortened(self.class_names)}); correct or remove these images"
            ) from None

    def _has(self, value: Any) -> bool:
        try:
            return value in self.indices
        except TypeError:  # a list, as one-hot labels are
            return False

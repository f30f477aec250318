"""The contract of a runtime: trace once → write (any weights) → load → run → close."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import nn

Pixels = npt.NDArray[np.uint8]
"""Images as raw pixels, shape (batch, channels, height, width), 0..255."""
Logits = npt.NDArray[np.float32]
"""Class scores before softmax, shape (batch, classes)."""


class Session(ABC):
    """A loaded file, ready to run. Use it as a context manager, or close it."""

    @property
    @abstractmethod
    def batch_size(self) -> int:
        """Return the number of images every call takes."""

    def prepare(self, images_bchw: Pixels) -> npt.NDArray[Any]:
        """Return raw pixels as the file takes them; what we export takes them as they are."""
        return np.ascontiguousarray(images_bchw)

    @abstractmethod
    def run(self, images_bchw: npt.NDArray[Any]) -> Logits:
        """Return logits for one prepared batch; returns only when the device has finished."""

    def synchronize(self) -> None:  # noqa: B027  (most devices have nothing to wait for)
        """Wait until the device has finished all work."""

    def close(self) -> None:  # noqa: B027
        """Release the device's memory; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TracedModel(ABC):
    """The graph of a network for fixed input shapes, independent of its weights.

    Tracing is the slow part (1-3 s), so a trial traces once and writes twice: untrained for the
    probe, trained for the result.
    """

    @abstractmethod
    def write(self, module: nn.Module, path: Path) -> None:
        """Write the graph with the present weights of ``module`` to one file.

        Raises:
            RuntimeExportError: The module is not the one that was traced.
        """


def weight_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight and buffer by name: what makes a module the traced one."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


class Runtime(ABC):
    """One way to run a model on a device. Members keep no state between calls."""

    suffix: str
    """Ending of the exported file, with the dot."""

    @staticmethod
    @abstractmethod
    def why_unavailable(target: str) -> str | None:
        """Return why this runtime cannot run on ``target`` here, None when it can."""

    @abstractmethod
    def trace(self, module: nn.Module, input_shape: tuple[int, int, int, int]) -> TracedModel:
        """Trace a module in evaluation mode that takes uint8 pixels of ``input_shape``.

        Raises:
            RuntimeExportError: The network holds something the runtime cannot express.
        """

    @abstractmethod
    def load(self, path: Path) -> Session:
        """Load an exported file.

        Raises:
            RuntimeExportError: The file cannot be loaded.
        """

"""The contract of a runtime: trace once → write (any weights) → load → run → close."""

from __future__ import annotations

import importlib.util
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ecoautoml.errors import RuntimeExportError
from ecoautoml.records.precisions import PRECISIONS

if TYPE_CHECKING:
    from torch import nn

Pixels = npt.NDArray[np.uint8]
"""Images as raw pixels, shape (batch, channels, height, width), 0..255."""
Logits = npt.NDArray[np.float32]
"""Class scores before softmax, shape (batch, classes)."""
CALIBRATION_IMAGES = 256
"""Training images that an int8 file takes its ranges from, at most."""
MIN_CALIBRATION_IMAGES = 32
"""Images from which on the ranges of int8 are found; fewer make them a matter of chance."""


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
    def write(
        self,
        module: nn.Module,
        path: Path,
        *,
        precision: str = "fp32",
        calibration: Pixels | None = None,
    ) -> None:
        """Write the graph with the present weights of ``module``, whole or not at all.

        Args:
            module: The network; it stays as it is.
            path: The file; some runtimes put another beside it (`Runtime.files`).
            precision: One of the runtime's ``precisions``.
            calibration: Training images from which int8 takes its ranges, (n, c, h, w), at least
                `MIN_CALIBRATION_IMAGES`; other precisions do without.

        Raises:
            RuntimeExportError: The module is not the one that was traced, the runtime lacks the
                precision, or int8 has too few images.
        """


def weight_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight and buffer by name: what makes a module the traced one."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


class Runtime(ABC):
    """One way to run a model on a device. Members keep no state between calls."""

    suffix: str
    """Ending of the exported file, with the dot."""
    precisions: ClassVar[tuple[str, ...]]
    """What it can write, of `PRECISIONS`; the first is the default."""
    loads_slowly: ClassVar[bool] = False
    """Loading compiles and takes 10 s or more; its contract is tested on fewer files."""

    @staticmethod
    @abstractmethod
    def why_unavailable(target: str) -> str | None:
        """Return why this runtime cannot run on ``target`` here, None when it can."""

    @staticmethod
    def why_precision_unavailable(precision: str) -> str | None:
        """Return why files of one of its precisions cannot run on this processor, None: they can.

        They can be written anywhere.
        """
        return None

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
            RuntimeExportError: The file cannot be loaded, or its precision is not available here.
        """

    def files(self, path: Path) -> tuple[Path, ...]:
        """Return all files that belong to the one written to ``path``, that one first."""
        return (path,)

    def size_bytes(self, path: Path) -> int:
        """Return the size of what was written to ``path``, all its files together."""
        return sum(file.stat().st_size for file in self.files(path))


# --- what members share ---------------------------------------------------------------------------


def check_request(
    runtime: str, allowed: tuple[str, ...], precision: str, calibration: Pixels | None
) -> None:
    """Refuse a precision the runtime called ``runtime`` lacks, and int8 without enough images.

    Raises:
        RuntimeExportError: One of these.
    """
    if precision not in allowed:
        unknown = "" if precision in PRECISIONS else " (no such precision is known)"
        raise RuntimeExportError(
            f"{runtime} cannot write {precision!r}{unknown}; it has {', '.join(allowed)}"
        )
    n = 0 if calibration is None else len(calibration)
    if precision == "int8" and n < MIN_CALIBRATION_IMAGES:
        raise RuntimeExportError(
            f"int8 takes the ranges of its numbers from at least {MIN_CALIBRATION_IMAGES} training "
            f"images, and was given {n}; give it more, or choose another precision"
        )


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file to write instead of ``path``; it takes its place when nothing has failed.

    Whatever else is written beside it comes along, and ``path`` itself last: where it is there, so
    is all that belongs to it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            yield draft
            _move_all(draft)
    except OSError as error:
        raise RuntimeExportError(f"{path} cannot be written: {error}") from error


def _move_all(draft: Path) -> None:
    """Move a folder's files one up, the draft last; those moved are taken back if one cannot be."""
    moved: list[Path] = []
    try:
        for file in sorted(draft.parent.iterdir(), key=lambda file: file == draft):
            moved.append(file.replace(draft.parent.parent / file.name))
    except OSError:
        for file in moved:
            file.unlink()
        raise


def not_installed(library: str, command: str) -> str | None:
    """Return that a library is not installed, and what would do so; None when it is."""
    if importlib.util.find_spec(library) is not None:
        return None
    return f"{library} is not installed; {command}"


def calibration_batches(calibration: Pixels, shape: tuple[int, int, int, int]) -> list[Pixels]:
    """Return training images in batches of the traced shape; the last is filled from the first.

    Raises:
        RuntimeExportError: They are of another size than the network takes.
    """
    if calibration.shape[1:] != shape[1:]:
        raise RuntimeExportError(
            f"the training images are of {calibration.shape[1:]}, the network takes {shape[1:]}"
        )
    n_batches = -(-len(calibration) // shape[0])
    order = np.arange(n_batches * shape[0]) % len(calibration)
    return [np.ascontiguousarray(calibration[part]) for part in order.reshape(n_batches, -1)]


def calibration_rows(n_images: int) -> npt.NDArray[np.int64]:
    """Return which training images int8 takes its ranges from: at most `CALIBRATION_IMAGES`.

    Evenly spread over the set, not the first: those may all be of one class.
    """
    return np.linspace(0, n_images - 1, min(CALIBRATION_IMAGES, n_images)).astype(np.int64)


def session_logits(session: Session, pixels_nchw: Pixels) -> Logits:
    """Return logits (n, k) of a loaded file for any number of images; the last batch is filled."""
    size = session.batch_size
    parts = []
    for start in range(0, len(pixels_nchw), size):
        batch = pixels_nchw[start : start + size]
        if missing := size - len(batch):  # the file takes whole batches only
            batch = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
        parts.append(session.run(session.prepare(batch))[: size - missing])
    return np.concatenate(parts)

"""Measuring by hand: a block of code, a command, one model, or two against each other.

Entry points: `measure` (a context manager), `measure_model`, `compare_models`, `measure_command`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ecoautoml.config.models import AutoMeter, MeasureConfig, MeterConfig
from ecoautoml.energy.select import open_meters
from ecoautoml.energy.target import resolve_target
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.errors import ConfigError, RunError
from ecoautoml.records.energy_reading import EnergyLine, EnergyReading, Provenance
from ecoautoml.records.measurement import Comparison, InferenceMeasurement

if TYPE_CHECKING:
    from ecoautoml.data.tensors import ImageTensors
    from ecoautoml.models.deployable import Deployable
    from ecoautoml.runtimes.base import Session

IMAGES = 64
"""Different images a model is measured on."""
PREPARED = "validation_images.npy"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")
MEASURE_PRECISION = 0.02


class measure:  # noqa: N801  (used like a function: with measure() as m)
    """Bills whatever runs inside a ``with`` block of this process and its children.

    >>> with measure() as m:
    ...     total = sum(range(10))
    >>> m.provenance is not None
    True

    Work given to a GPU by torch is waited for at both ends.

    Args:
        target: "auto", "cpu", "cuda" or "cuda:N": whose joules count.
        meter: Which meter to read, as in the configuration; the best there is by default.

    Raises:
        ConfigError: A meter that was asked for cannot be read.
    """

    def __init__(self, target: str = "auto", meter: MeterConfig | None = None) -> None:
        self._set = open_meters(meter or AutoMeter(), resolve_target(target))
        self._window = EnergyWindow(self._set.meters, self._set.clock)

    def __enter__(self) -> Self:
        _synchronize()
        self._window.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _synchronize()
        self._window.__exit__(kind, error, trace)
        self._set.close()

    @property
    def energy_j(self) -> float | None:
        """Return joules over all components, so far or of the whole block; None when unknown."""
        return self._line.energy_j

    @property
    def provenance(self) -> Provenance | None:
        """Return how the joules came about: the weakest of the components'."""
        return self._line.provenance

    @property
    def source(self) -> str:
        """Return meter and model."""
        return self._line.source

    @property
    def duration_s(self) -> float:
        """Return seconds."""
        return self._window.duration_s

    @property
    def readings(self) -> tuple[EnergyReading, ...]:
        """Return the joules of each component, with the reason where they are unknown."""
        return tuple(self._window.so_far())

    @property
    def _line(self) -> EnergyLine:
        return self._window.line("block")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBill:
    """What a command cost.

    Attributes:
        exit_code: Of the command.
        energy_j: Joules; None when unknown.
        duration_s: Seconds.
        provenance: How the joules came about; None when unknown.
        source: Meter and model.
        reasons: Why components are unknown.
    """

    exit_code: int
    energy_j: float | None
    duration_s: float
    provenance: Provenance | None
    source: str
    reasons: tuple[str, ...]


def measure_command(
    command: Sequence[str], *, target: str = "auto", stdout: Any = None
) -> CommandBill:
    """Run a command to its end and bill it with all processes it starts and waits for.

    Args:
        command: Program and arguments; no shell is involved.
        target: Whose joules count.
        stdout: Where its output goes, as in `subprocess.run`; None: to this process's.

    Raises:
        RunError: It cannot be started.
    """
    with measure(target) as bill:
        try:
            exit_code = subprocess.run(command, check=False, stdout=stdout).returncode
        except OSError as error:
            raise RunError(f"{command[0]} cannot be started ({error.strerror})") from error
    reasons = [one.reason for one in bill.readings if one.reason is not None]
    return CommandBill(
        exit_code=exit_code,
        energy_j=bill.energy_j,
        duration_s=bill.duration_s,
        provenance=bill.provenance,
        source=bill.source,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def measure_model(
    model: str | Path,
    *,
    batch_sizes: Sequence[int] = (1,),
    images: Path | None = None,
    target: str = "auto",
    precision: float = MEASURE_PRECISION,
) -> list[InferenceMeasurement]:
    """Return energy and latency of a model, one measurement per batch size.

    Args:
        model: An ONNX file, a folder with a checkpoint (``runs/NAME/models/trial_0012``), or
            ``timm:NAME`` (with random weights).
        batch_sizes: Images per call; an ONNX file may be made for one only.
        images: A folder of image files to measure on; None: the run's own validation images for
            a model in a run folder, else crops of scikit-learn's two photographs.
        target: Device; an ONNX file runs on the CPU.
        precision: Relative half-width of the 95 % interval at which measuring stops.

    Raises:
        EcoAutoMLError: The model cannot be loaded, exported or run.
    """
    from ecoautoml.trial.measure import measure_session

    device = _device(model, target)
    config = MeasureConfig(target=device, precision=precision)
    found = []
    for size in batch_sizes:
        with (
            _loaded(str(model), size, images, device) as (session, pixels),
            _meters(device) as set_,
        ):
            found.append(measure_session(session, pixels, set_, config, device))
    return found


def compare_models(
    a: str | Path,
    b: str | Path,
    *,
    batch_size: int = 1,
    images: Path | None = None,
    target: str = "auto",
    precision: float = MEASURE_PRECISION,
) -> tuple[Comparison, tuple[InferenceMeasurement, InferenceMeasurement]]:
    """Measure two models in turn and return which needs less energy per image, or that they tie.

    Args:
        a: A model, as in `measure_model`.
        b: The other.
        batch_size: Images per call.
        images: As in `measure_model`.
        target: Device.
        precision: Relative half-width of the ratio's 99 % interval at which measuring stops.

    Returns:
        The comparison, and what was measured of A and of B.
    """
    from ecoautoml.trial.measure import measure_sessions_in_turn

    device = _device(a, target)
    if device != _device(b, target):
        raise ConfigError(f"{a} and {b} do not run on the same device; measure both on the cpu")
    config = MeasureConfig(target=device, final_precision=precision)
    with ExitStack() as stack:
        loaded = {
            number: stack.enter_context(_loaded(str(model), batch_size, images, device))
            for number, model in enumerate((a, b))
        }
        meters = stack.enter_context(_meters(device))
        ranking = measure_sessions_in_turn(loaded, meters, config, device)
    (comparison,) = ranking.comparisons
    return comparison, (ranking.measurements[0], ranking.measurements[1])


# --- loading --------------------------------------------------------------------------------


def _device(model: str | Path, target: str) -> str:
    return "cpu" if str(model).endswith(".onnx") else resolve_target(target)


@contextmanager
def _meters(device: str) -> Iterator[Any]:
    meters = open_meters(AutoMeter(), device)
    try:
        yield meters
    finally:
        meters.close()


@contextmanager
def _loaded(
    model: str, batch_size: int, images: Path | None, device: str
) -> Iterator[tuple[Session, ImageTensors]]:
    """Load a model for one batch size, with the images it takes."""
    import torch

    from ecoautoml.data.tensors import ImageTensors

    with tempfile.TemporaryDirectory() as scratch:
        session, shape, own = _session(model, batch_size, Path(scratch), device)
        with session:
            pixels = _images(images or own, shape)
            labels = torch.zeros(len(pixels), dtype=torch.int64)
            yield session, ImageTensors(images_nchw=torch.from_numpy(pixels), labels=labels)


def _session(
    model: str, batch_size: int, scratch: Path, device: str
) -> tuple[Session, tuple[int, int, int], Path | None]:
    """Return a loaded model, its input's (channels, height, width), and its own images' folder."""
    if model.startswith("timm:"):
        module, shape = _timm_model(model.removeprefix("timm:"))
        return _exported(module, shape, batch_size, scratch, device), shape, None
    path = Path(model)
    if path.is_dir():
        from ecoautoml.models.checkpoint import load_checkpoint, read_meta

        meta = read_meta(path)
        shape = (int(meta["in_chans"]), int(meta["resolution"]), int(meta["resolution"]))
        session = _exported(load_checkpoint(path), shape, batch_size, scratch, device)
        return session, shape, _prepared_images(path)
    if path.suffix != ".onnx" or not path.is_file():
        raise RunError(
            f"{model} is neither an ONNX file, nor a folder with a checkpoint "
            "(runs/NAME/models/trial_0012), nor timm:NAME"
        )
    return _onnx(path, batch_size)


def _onnx(path: Path, batch_size: int) -> tuple[Session, tuple[int, int, int], Path | None]:
    from ecoautoml.runtimes.onnx_runtime import OnnxSession

    session = OnnxSession(path, batch_size)
    channels, height, width = session.input_shape
    if channels is None or height is None or width is None:
        raise RunError(f"{path} leaves the size of its images open; export it for a fixed size")
    return session, (channels, height, width), _prepared_images(path.parent)


def _prepared_images(model_folder: Path) -> Path | None:
    """Return the images of the run a model's folder lies in, None when it lies in none."""
    folder = model_folder.resolve().parent.parent / "data"
    return folder if (folder / PREPARED).is_file() else None


def _timm_model(name: str) -> tuple[Deployable, tuple[int, int, int]]:
    import timm

    from ecoautoml.models.deployable import Deployable

    try:
        network = timm.create_model(name, pretrained=False)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"timm has no model {name}: {error}") from error
    known = timm.data.resolve_model_data_config(network)
    channels, height, width = known["input_size"]
    module = Deployable(network, mean=known["mean"], std=known["std"]).eval()
    return module, (channels, height, width)


def _exported(
    module: Deployable, shape: tuple[int, int, int], batch_size: int, scratch: Path, device: str
) -> Session:
    from ecoautoml.runtimes import RUNTIMES, default_runtime

    runtime = RUNTIMES.get(default_runtime(device))()
    file = scratch / f"model{runtime.suffix}"
    runtime.trace(module, (batch_size, *shape)).write(module, file)
    return runtime.load(file)


def _images(folder: Path | None, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return images (n, c, h, w): prepared ones of a run, image files, or photographs."""
    channels, height, width = shape
    if folder is None:
        from ecoautoml.data.photographs import photograph_crops

        return photograph_crops(IMAGES, channels, height, width)
    if (folder / PREPARED).is_file():
        pixels = np.load(folder / PREPARED, mmap_mode="r")[:IMAGES]
        if pixels.shape[1:] == shape:
            return np.array(pixels)
        return _resized(pixels, shape)
    return _image_files(folder, shape)


def _resized(pixels: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    from ecoautoml.data.decode import decode

    channels, size, _ = shape
    return np.stack(
        [decode(np.ascontiguousarray(one.transpose(1, 2, 0)), size, channels) for one in pixels]
    )


def _image_files(folder: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    from ecoautoml.data.decode import UnreadableImageError, decode

    channels, height, width = shape
    if channels not in (1, 3) or height != width:
        raise RunError(f"the model takes images of {channels}×{height}×{width}; leave --images out")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    found = []
    for file in files[:IMAGES]:
        try:
            found.append(decode(file, height, channels))
        except UnreadableImageError as error:
            raise RunError(f"{file} cannot be read: {error}") from error
    if not found:
        raise RunError(f"{folder} holds no image files")
    return np.stack(found)


def _synchronize() -> None:
    """Wait for work given to a GPU; torch is only asked where it is loaded already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()

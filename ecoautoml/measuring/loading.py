"""Models of several kinds, loaded in a runtime, with the images they take."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ecoautoml.errors import ConfigError, RunError

if TYPE_CHECKING:
    from ecoautoml.data.tensors import ImageTensors
    from ecoautoml.models.deployable import Deployable
    from ecoautoml.runtimes.base import Session

IMAGES = 64
"""Different images a model is measured on."""
PREPARED = "validation_images.npy"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff")


@contextmanager
def loaded(
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
        if "resolution" not in meta:
            raise RunError(f"{path} does not say for which size of images its model was made")
        shape = (int(meta["in_chans"]), int(meta["resolution"]), int(meta["resolution"]))
        session = _exported(load_checkpoint(path), shape, batch_size, scratch, device)
        return session, shape, _prepared_images(path)
    if not path.exists():
        raise RunError(f"{model}: there is no such file or folder{_timm_hint(model)}")
    if path.suffix != ".onnx":
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


def _timm_hint(model: str) -> str:
    """Return what to type instead, where a name looks like one of timm's."""
    return f"; for timm's model say timm:{model}" if model.isidentifier() else ""


def _timm_model(name: str) -> tuple[Deployable, tuple[int, int, int]]:
    import timm

    from ecoautoml.models.deployable import Deployable

    if ":" in name or "/" in name:
        raise RunError(f"timm:{name} is no name of timm's own list; nothing is downloaded here")
    try:
        network = timm.create_model(name, pretrained=False)
    except (RuntimeError, ValueError) as error:
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"; did you mean timm:{near[0]}?" if near else ""
        raise RunError(f"timm has no model {name}{hint}") from error
    known = timm.data.resolve_model_data_config(network)
    channels, height, width = known["input_size"]
    module = Deployable(network, mean=known["mean"], std=known["std"]).eval()
    return module, (channels, height, width)


def _exported(
    module: Deployable, shape: tuple[int, int, int], batch_size: int, scratch: Path, device: str
) -> Session:
    from ecoautoml.runtimes import RUNTIMES, default_runtime

    member = RUNTIMES.get(default_runtime(device))
    why_not = member.why_unavailable(device)
    if why_not is not None:
        raise ConfigError(f"nothing can be measured on {device} here: {why_not}")
    runtime = member()
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

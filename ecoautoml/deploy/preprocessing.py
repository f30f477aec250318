"""What an exported model takes: written beside it as ``preprocessing.json``, and read again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ecoautoml.data.decode import decode
from ecoautoml.data.pixels import resized_pixels
from ecoautoml.data.sources.base import RawImage
from ecoautoml.errors import RunError

PREPROCESSING_FILE = "preprocessing.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """A model's file and the images it takes.

    Attributes:
        model_format: Name of its format (`ecoautoml.deploy.formats`).
        runtime: Name of what runs it.
        precision: Of its weights and arithmetic.
        batch_size: Images every call takes.
        files: Names of the model's files, the one to load first.
        channels: 1 (grey) or 3 (RGB).
        prepared_side: Side that images are decoded to, in pixels: that of the search's images.
        side: Side of the model's input; other than ``prepared_side`` where the search varied it.
        class_names: A logit's index is an index into them.
        mean: Mean per channel of pixels in [0, 1]; applied inside the model.
        std: Standard deviation, likewise.
        run: Name of the search.
        trial: Trial number; None unknown.
    """

    model_format: str
    runtime: str
    precision: str
    batch_size: int
    files: tuple[str, ...]
    channels: int
    prepared_side: int
    side: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    run: str | None = None
    trial: int | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return the shape of the model's input: images, channels, height, width."""
        return (self.batch_size, self.channels, self.side, self.side)

    def pixels(self, raw: RawImage) -> NDArray[np.uint8]:
        """Return an image as the model takes it, shape (channels, side, side).

        These are the functions that prepare a search's images, so a prediction is what scored.

        Raises:
            UnreadableImageError: It is not an image, or a damaged one.
        """
        return resized_pixels(decode(raw, self.prepared_side, self.channels), self.side)

    def tree(self) -> dict[str, Any]:
        """Return it as JSON values, with what a person who has no ecoautoml needs to know."""
        return {
            "format_version": FORMAT_VERSION,
            "model": {
                "format": self.model_format,
                "files": list(self.files),
                "runtime": self.runtime,
                "precision": self.precision,
                "batch_size": self.batch_size,
                "run": self.run,
                "trial": self.trial,
            },
            "input": {
                "layout": "NCHW",
                "dtype": "uint8",
                "shape": list(self.shape),
                "values": "raw pixels, 0 to 255",
                "channels": self.channels,
                "colour": "grey" if self.channels == 1 else "RGB",
            },
            "resize": {
                "prepared_side": self.prepared_side,
                "side": self.side,
                "fit": "the shorter side is brought to prepared_side, the centre is cut out of the "
                "longer one; the square is then resized to side where that is another",
                "resampling": "bilinear with antialiasing (Pillow BILINEAR, reducing_gap 2)",
                "orientation": "EXIF rotation is applied first",
                "transparency": "laid on white",
                "grey": "colours by luma (ITU-R 601); grey is repeated for three channels",
                "deep_pixels": "16 bits are divided by 257",
            },
            "normalisation": "inside the model",
            "mean": list(self.mean),
            "std": list(self.std),
            "output": "logits, float32, shape (batch, classes); softmax makes them probabilities",
            "class_names": list(self.class_names),
        }

    def write(self, folder: Path) -> None:
        """Write ``preprocessing.json``."""
        text = json.dumps(self.tree(), indent=2, ensure_ascii=False)
        (folder / PREPROCESSING_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``preprocessing.json``.

        Raises:
            RunError: It is missing, or not such a file.
        """
        path = folder / PREPROCESSING_FILE
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            if int(tree["format_version"]) > FORMAT_VERSION:
                raise RunError(f"{path} was written by a later ecoautoml; update yours")
            return cls._from(tree)
        except OSError as error:
            raise RunError(f"{path} cannot be read ({error.strerror})") from None
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{path} is not what an export writes ({type(error).__name__}: {error}); "
                "export the model again"
            ) from None

    @classmethod
    def _from(cls, tree: dict[str, Any]) -> Self:
        model, resize = tree["model"], tree["resize"]
        files = tuple(map(str, model["files"]))
        if not files or any(Path(name).name != name for name in files):
            raise ValueError(f"files {list(files)}")
        return cls(
            model_format=str(model["format"]),
            runtime=str(model["runtime"]),
            precision=str(model["precision"]),
            batch_size=int(model["batch_size"]),
            files=files,
            channels=int(tree["input"]["channels"]),
            prepared_side=int(resize["prepared_side"]),
            side=int(resize["side"]),
            class_names=tuple(map(str, tree["class_names"])),
            mean=tuple(map(float, tree["mean"])),
            std=tuple(map(float, tree["std"])),
            run=model.get("run"),
            trial=model.get("trial"),
        )

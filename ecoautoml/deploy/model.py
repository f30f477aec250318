"""A model to use: loaded once, asked for as many images as one likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ecoautoml.data.decode import UnreadableImageError
from ecoautoml.deploy.formats import format_named
from ecoautoml.deploy.images import ImageLike, Images, listed, name_of, raw_image
from ecoautoml.deploy.preprocessing import PREPROCESSING_FILE, Preprocessing
from ecoautoml.errors import ConfigError, DataError, RunError
from ecoautoml.runtimes.base import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        class_name: Name of the most probable class.
        index: Its index.
        probability: Its probability, from 0 to 1.
        probabilities: Of all classes, in the order of `EcoModel.class_names`; they sum to 1.
    """

    class_name: str
    index: int
    probability: float
    probabilities: tuple[float, ...]


class EcoModel:
    """A trained model in its runtime: images in, classes out.

    >>> EcoModel.load("exported").predict("photo.jpg")  # doctest: +SKIP
    [Prediction(class_name='cat', index=3, probability=0.97, ...)]

    Use it as a context manager, or close it. It needs torch only where the format does
    (TorchScript, torch, safetensors, CUDA).

    Args:
        session: The loaded file.
        preprocessing: The images it takes, and its classes.
        path: Where it was loaded from.
    """

    def __init__(self, session: Session, preprocessing: Preprocessing, path: Path) -> None:
        self._session: Session | None = session
        self.preprocessing, self.path = preprocessing, path

    @classmethod
    def load(
        cls, path: str | Path, *, trial: int | None = None, batch_size: int | None = None
    ) -> Self:
        """Load an exported folder, a model of a run, or a model's own folder in a run.

        Args:
            path: The folder of an export; a run folder, with ``trial``; or
                ``RUN/models/trial_0012``.
            trial: Trial number, for a run folder.
            batch_size: Images per call; None: what the file was made for. Another number is
                possible where the run holds a file for it (`measure.other_batch_sizes`).

        Raises:
            RunError: The folder holds no model, or not that trial's.
            MissingExtraError: A library the format needs is not installed.
            RuntimeExportError: The file cannot be loaded.
        """
        folder = Path(path)
        if not folder.is_dir():
            kind = "a file; give the folder it lies in" if folder.exists() else "not there"
            raise RunError(f"{folder} is {kind}")
        if (folder / PREPROCESSING_FILE).is_file():
            return cls._exported(folder, trial, batch_size)
        from ecoautoml.deploy.sources import is_model_folder, is_run, model_in_run, trial_folder

        if is_run(folder):
            if trial is None:
                raise RunError(
                    f"{folder} is a run: say which of its models with --trial N (trial=N)"
                )
            folder = trial_folder(folder, trial)
        elif not is_model_folder(folder):
            raise RunError(
                f"{folder} holds no model: neither {PREPROCESSING_FILE} of an export, nor a run"
            )
        file, preprocessing, runtime = model_in_run(folder, batch_size)
        return cls(runtime.load(file), preprocessing, folder)

    @classmethod
    def _exported(cls, folder: Path, trial: int | None, batch_size: int | None) -> Self:
        preprocessing = Preprocessing.read(folder)
        if trial is not None and trial != preprocessing.trial:
            raise RunError(f"{folder} holds trial {preprocessing.trial}, not {trial}")
        if batch_size not in (None, preprocessing.batch_size):
            raise ConfigError(
                f"{folder} takes batches of {preprocessing.batch_size}, not of {batch_size}; "
                f"export it with --batch {batch_size}"
            )
        missing = [name for name in preprocessing.files if not (folder / name).is_file()]
        if missing:
            raise RunError(f"{folder} lacks {missing[0]}; export the model again")
        runtime = format_named(preprocessing.model_format).open()
        return cls(runtime.load(folder / preprocessing.files[0]), preprocessing, folder)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of all classes, in the order of probabilities."""
        return self.preprocessing.class_names

    @property
    def batch_size(self) -> int:
        """Return the images of one call of the file; any number may be predicted."""
        return self._open_session().batch_size

    def predict(self, images: Images) -> list[Prediction]:
        """Return what the model says of every image, in their order.

        Args:
            images: Paths, Pillow images or uint8 arrays: one or several, of any size. An array
                (h, w) or (h, w, c) is one image, (n, h, w) or (n, h, w, c) a batch.

        Raises:
            DataError: One of them cannot be read; says which.
        """
        found = []
        for one in self.predict_each(listed(images)):
            if isinstance(one, DataError):
                raise one
            found.append(one)
        return found

    def predict_proba(self, images: Images) -> NDArray[np.float64]:
        """Return the probabilities of all classes, shape (n, classes), as `predict` takes images.

        Raises:
            DataError: One of them cannot be read; says which.
        """
        rows = [one.probabilities for one in self.predict(images)]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.class_names))

    def predict_each(self, images: Sequence[ImageLike]) -> Iterator[Prediction | DataError]:
        """Yield a prediction per image, or why there is none; read as they are asked for."""
        items = iter(enumerate(images))
        while chunk := list(islice(items, self.batch_size)):
            read = [self._read(image, index) for index, image in chunk]
            pixels = [one for one in read if not isinstance(one, DataError)]
            answers = iter(self._predicted(np.stack(pixels)) if pixels else ())
            for one in read:
                yield one if isinstance(one, DataError) else next(answers)

    def close(self) -> None:
        """Release the model; a second call does nothing."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        made = self.preprocessing
        return (
            f"<EcoModel {self.path}: {made.runtime}, {made.precision}, "
            f"{len(made.class_names)} classes, {made.channels}×{made.side}×{made.side}>"
        )

    def _open_session(self) -> Session:
        if self._session is None:
            raise RunError(f"the model of {self.path} was closed; load it again")
        return self._session

    def _read(self, image: ImageLike, index: int) -> NDArray[np.uint8] | DataError:
        try:
            return self.preprocessing.pixels(raw_image(image))
        except DataError as error:
            return DataError(str(error))
        except (UnreadableImageError, OSError, ValueError) as error:
            return DataError(f"{name_of(image, index)} cannot be read: {error}")

    def _predicted(self, pixels_nchw: NDArray[np.uint8]) -> list[Prediction]:
        """Return the predictions of one call; the file takes whole batches only."""
        session = self._open_session()
        missing = session.batch_size - len(pixels_nchw)
        padding = np.repeat(pixels_nchw[-1:], missing, axis=0)
        logits = session.run(session.prepare(np.concatenate([pixels_nchw, padding])))
        return [self._prediction(row) for row in softmax(logits[: len(pixels_nchw)])]

    def _prediction(self, probabilities: NDArray[np.float64]) -> Prediction:
        index = int(probabilities.argmax())
        return Prediction(
            class_name=self.class_names[index],
            index=index,
            probability=float(probabilities[index]),
            probabilities=tuple(probabilities.tolist()),
        )


def softmax(logits_bk: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities, shape (b, k)."""
    shifted = np.asarray(logits_bk, dtype=np.float64)
    powers = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities

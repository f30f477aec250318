"""Data sets of torchvision."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecoautoml.config.models import TorchvisionData
from ecoautoml.data.sources.base import DataSource, RawSplit, RawSplits
from ecoautoml.data.sources.labels import LabelTable
from ecoautoml.errors import DataError
from ecoautoml.registry import suggest

# The words torchvision's classes use for their splits; the first one that is known wins.
_WORDS_OF_SPLIT = {
    "train": ("train", "trainval"),
    "validation": ("val", "valid", "validation"),
    "test": ("test",),
}


class TorchvisionSource(DataSource[TorchvisionData]):
    """A class of ``torchvision.datasets`` that can be made from a folder and a split."""

    def read(self, config: TorchvisionData) -> RawSplits:
        """Return the splits the data set has."""
        kind = _dataset_class(config.name)
        datasets = {split: _load(kind, config, split) for split in _WORDS_OF_SPLIT}
        train = datasets["train"]
        if train is None:
            raise DataError(
                f"data.name: torchvision's {config.name} has no split called "
                f"{' or '.join(_WORDS_OF_SPLIT['train'])}; use another data set or kind of data"
            )
        values = {
            split: _label_values(dataset)
            for split, dataset in datasets.items()
            if dataset is not None
        }
        table = _label_table(train, values["train"], config.name)
        splits = {
            split: RawSplit(
                images=_DatasetImages(datasets[split]),
                labels=table.encode(values[split], f"the {split} split of {config.name}"),
            )
            for split in values
        }
        return RawSplits(
            class_names=table.class_names,
            train=splits["train"],
            validation=splits.get("validation"),
            test=splits.get("test"),
        )

    def stamped_paths(self, config: TorchvisionData) -> tuple[Path, ...]:
        """Return nothing: torchvision's data sets are fixed by their name."""
        return ()


class _DatasetImages(Sequence[Any]):
    """The images of a torchvision data set."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        return self._dataset[index][0]


def _dataset_class(name: str) -> Any:
    import torchvision.datasets

    if name not in torchvision.datasets.__all__:
        hint = suggest(name, torchvision.datasets.__all__).partition(" Allowed")[0]
        raise DataError(f"data.name: torchvision has no data set {name!r}{hint}")
    return getattr(torchvision.datasets, name)


def _load(kind: Any, config: TorchvisionData, split: str) -> Any:
    """Return the data set of a split; None when the class knows no such split."""
    parameters = inspect.signature(kind).parameters
    arguments: dict[str, Any] = {"root": config.path}
    if "download" in parameters:
        arguments["download"] = config.download
    if "train" in parameters:
        if split == "validation":
            return None
        return _construct(kind, config, arguments | {"train": split == "train"})
    if "split" not in parameters:
        return _construct(kind, config, arguments) if split == "train" else None
    for word in _WORDS_OF_SPLIT[split]:
        try:
            return _construct(kind, config, arguments | {"split": word})
        except ValueError:  # how torchvision refuses a word it does not know
            continue
    return None


def _construct(kind: Any, config: TorchvisionData, arguments: dict[str, Any]) -> Any:
    try:
        return kind(**arguments)
    except TypeError as error:
        raise DataError(
            f"data.name: torchvision's {config.name} cannot be made from a folder and a split "
            f"({error}); use another data set or kind of data"
        ) from error
    except (RuntimeError, OSError) as error:
        todo = "check the folder" if config.download else "set data.download: true to fetch it"
        raise DataError(
            f"data.path: torchvision's {config.name} is not in {config.path.absolute()}, or not "
            f"whole; {todo}, or point data.path at the folder that holds it ({error})"
        ) from error


def _label_values(dataset: Any) -> list[Any]:
    for name in ("targets", "labels", "_labels"):
        values = getattr(dataset, name, None)
        if values is not None and len(values) == len(dataset):
            return values.tolist() if hasattr(values, "tolist") else list(values)
    return [dataset[index][1] for index in range(len(dataset))]


def _label_table(dataset: Any, values: list[Any], name: str) -> LabelTable:
    names = getattr(dataset, "classes", None)
    if isinstance(names, list | tuple) and all(isinstance(label, str) for label in names):
        return LabelTable.from_names(names)
    return LabelTable.from_values(values, name)

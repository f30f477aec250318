"""Data sets of the Hugging Face hub."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecoautoml.config.models import HuggingfaceData
from ecoautoml.data.sources.base import DataSource, RawImage, RawSplit, RawSplits
from ecoautoml.data.sources.labels import LabelTable
from ecoautoml.errors import DataError, MissingExtraError

_SPLIT_OF_NAME = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


class HuggingfaceSource(DataSource[HuggingfaceData]):
    """A data set by name on the hub, or a local folder of one; needs the package ``datasets``."""

    def read(self, config: HuggingfaceData) -> RawSplits:
        """Return the splits called train, validation (valid, val) and test."""
        splits = _load(config.name)
        datasets = {_SPLIT_OF_NAME[n]: s for n, s in splits.items() if n in _SPLIT_OF_NAME}
        if "train" not in datasets:
            raise DataError(
                f"data.name: {config.name} has no split called train, only {', '.join(splits)}"
            )
        for split, dataset in datasets.items():
            _check_columns(dataset, split, config)
        values = {split: list(d[config.label_column]) for split, d in datasets.items()}
        names = getattr(datasets["train"].features[config.label_column], "names", None)
        where = f"of {config.name}"
        table = (
            LabelTable.from_names(names)
            if names
            else LabelTable.from_values(values["train"], f"the train split {where}")
        )
        raw = {
            split: RawSplit(
                images=_HubImages(dataset, config.image_column),
                labels=table.encode(values[split], f"the {split} split {where}"),
            )
            for split, dataset in datasets.items()
        }
        return RawSplits(
            class_names=table.class_names,
            train=raw["train"],
            validation=raw.get("validation"),
            test=raw.get("test"),
        )

    def stamped_paths(self, config: HuggingfaceData) -> tuple[Path, ...]:
        """Return the local folder, when the name is one."""
        return (Path(config.name),) if Path(config.name).exists() else ()


class _HubImages(Sequence[RawImage]):
    """The images of a split, still encoded."""

    def __init__(self, dataset: Any, column: str) -> None:
        image = importlib.import_module("datasets").Image(decode=False)
        self._dataset = dataset.select_columns([column]).cast_column(column, image)
        self._column = column

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:
        record = self._dataset[index][self._column] or {}
        if record.get("bytes") is not None:
            return record["bytes"]
        return Path(record["path"]) if record.get("path") else None


def _load(name: str) -> Mapping[str, Any]:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise MissingExtraError(
            "data of kind huggingface need the package datasets: pip install datasets"
        ) from None
    is_saved = any((Path(name) / file).exists() for file in ("dataset_dict.json", "state.json"))
    try:
        loaded = datasets.load_from_disk(name) if is_saved else datasets.load_dataset(name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"data.name: {name} is neither a folder here nor a data set that could be fetched "
            f"from the hub ({error}); correct the name or check the network"
        ) from error
    return loaded if isinstance(loaded, Mapping) else {"train": loaded}


def _check_columns(dataset: Any, split: str, config: HuggingfaceData) -> None:
    for key in ("image_column", "label_column"):
        if getattr(config, key) not in dataset.column_names:
            raise DataError(
                f"data.{key}: the {split} split of {config.name} has no column "
                f"{getattr(config, key)!r}; its columns are {', '.join(dataset.column_names)}"
            )

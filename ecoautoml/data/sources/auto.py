"""What stands at a path → which kind of data it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ecoautoml.config.models import (
    AutoData,
    DigitsData,
    HuggingfaceData,
    ImageFolderData,
    NumpyData,
    ParquetData,
    TorchvisionData,
)
from ecoautoml.data.sources.base import require_path, shortened
from ecoautoml.errors import DataError

ConcreteData = (
    DigitsData | ImageFolderData | ParquetData | NumpyData | TorchvisionData | HuggingfaceData
)
_UNDERSTOOD = (
    "a folder with one folder of images per class, a Parquet file or a folder of them, "
    "and a .npz archive are understood"
)


def resolve(config: ConcreteData | AutoData) -> ConcreteData:
    """Return the configuration with its kind settled.

    Raises:
        DataError: What stands at the path of an ``auto`` configuration is not understood; says
            what was found.
    """
    if not isinstance(config, AutoData):
        return config
    path = require_path(config.path)
    fields = config.model_dump(exclude={"kind"})
    if path.is_dir():
        if any(path.glob("*.parquet")):
            return ParquetData(kind="parquet", **fields)
        if any(p.is_dir() and not p.name.startswith(".") for p in path.iterdir()):
            return ImageFolderData(kind="image_folder", **fields)
    elif path.suffix.lower() == ".parquet":
        return ParquetData(kind="parquet", **fields)
    elif path.suffix.lower() == ".npz":
        return NumpyData(kind="numpy", **fields)
    raise DataError(f"data.path: {path} is {_describe(path)}; {_UNDERSTOOD}")


def _describe(path: Path) -> str:
    if path.is_file():
        return f"a {path.suffix} file" if path.suffix else "a file without a suffix"
    suffixes = Counter(p.suffix.lower() or "no suffix" for p in path.iterdir() if p.is_file())
    if not suffixes:
        return "an empty folder"
    found = shortened([f"{count} × {suffix}" for suffix, count in suffixes.most_common()])
    return f"a folder of loose files ({found})"

"""Parquet files with encoded images and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecoautoml.config.models import ParquetData
from ecoautoml.data.sources.base import DataSource, RawSplit, RawSplits, require_path, shortened
from ecoautoml.data.sources.labels import LabelTable
from ecoautoml.errors import DataError

# "train", "val" or "test" at the start of a file name or after a separator, as in
# "train-00000-of-00002.parquet", "flowers_validation.parquet", "test.parquet".
_SPLIT_IN_NAME = re.compile(r"(?:^|[^a-z])(train|val|test)(?:ing|id|idation|set)?(?![a-z])")
_SPLIT_NAMES = {"train": "train", "val": "validation", "test": "test"}


class ParquetSource(DataSource[ParquetData]):
    """One file, or a folder of files named after their split.

    Class names come from the schema metadata: ``label_names`` (separated by commas) or the
    ClassLabel feature of the Hugging Face entry; else they are the labels themselves.
    """

    def read(self, config: ParquetData) -> RawSplits:
        """Return images (as encoded bytes) and labels of all splits."""
        files, notes = _split_files(config)
        tables = {
            split: [_read_table(path, config) for path in paths] for split, paths in files.items()
        }
        values = {
            split: [v for table in parts for v in table.column(config.label_column).to_pylist()]
            for split, parts in tables.items()
        }
        where = {split: shortened([str(path) for path in paths]) for split, paths in files.items()}
        names = _class_names(tables["train"][0].schema, config.label_column)
        labels = _label_table(names, values["train"], where["train"])
        splits = {
            split: RawSplit(
                images=_ImageColumn([_bytes_of(t, config.image_column) for t in tables[split]]),
                labels=labels.encode(values[split], where[split]),
            )
            for split in files
        }
        return RawSplits(
            class_names=labels.class_names,
            train=splits["train"],
            validation=splits.get("validation"),
            test=splits.get("test"),
            notes=notes,
        )

    def stamped_paths(self, config: ParquetData) -> tuple[Path, ...]:
        """Return the file or folder, and the file with the test images."""
        beside = _test_beside(config.path)
        return tuple(path for path in (config.path, config.test_path, beside) if path is not None)


class _ImageColumn(Sequence[bytes | None]):
    """Encoded images of one split, each copied out of the Arrow buffers when asked for."""

    def __init__(self, columns: Sequence[pa.ChunkedArray]) -> None:
        chunks = [chunk for column in columns for chunk in column.chunks]
        self._column = pa.chunked_array(chunks, type=pa.large_binary())

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, index: Any) -> Any:
        return self._column[index].as_py()


def _split_files(config: ParquetData) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Return the files of each split, and notes about files nobody named."""
    path = require_path(config.path)
    notes: tuple[str, ...] = ()
    files = {"train": [path]}
    if path.is_dir():
        files, notes = _files_in_folder(path)
    if config.test_path is not None:
        files["test"] = [require_path(config.test_path)]
    elif path.is_file() and (beside := _test_beside(path)) is not None:
        files["test"] = [beside]
        notes = (*notes, f"test images are taken from {beside.name}, found beside {path.name}")
    return files, notes


def _files_in_folder(folder: Path) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    files: dict[str, list[Path]] = {}
    unnamed: list[Path] = []
    for path in sorted(folder.glob("*.parquet")):
        match = _SPLIT_IN_NAME.search(path.stem.lower())
        target = files.setdefault(_SPLIT_NAMES[match[1]], []) if match else unnamed
        target.append(path)
    if not files and unnamed:
        return {"train": unnamed}, ()
    if "train" not in files:
        found = shortened([path.name for path in sorted(folder.iterdir())]) or "nothing"
        raise DataError(
            f"data.path: {folder} has no Parquet file whose name says train (it holds {found}); "
            f"rename one, or give data.path a file"
        )
    names = shortened([path.name for path in unnamed])
    return files, (f"ignored files whose names say no split ({names})",) if unnamed else ()


def _test_beside(path: Path) -> Path | None:
    """Return the file whose name has "test" in the place of "train", when there is one."""
    name = path.name.replace("train", "test")
    beside = path.with_name(name)
    return beside if name != path.name and path.is_file() and beside.is_file() else None


def _read_table(path: Path, config: ParquetData) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        columns = file.schema_arrow.names
        for key in ("image_column", "label_column"):
            if getattr(config, key) not in columns:
                raise DataError(
                    f"data.{key}: {path} has no column {getattr(config, key)!r}; "
                    f"its columns are {', '.join(columns)}"
                )
        return file.read(columns=[config.image_column, config.label_column])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"data: {path} cannot be read as Parquet ({error})") from error


def _bytes_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    column = table.column(name)
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise DataError(
            f"data.image_column: column {name!r} holds {column.type}; it must hold encoded image "
            f"bytes (PNG, JPEG, ...) or structs with a 'bytes' field"
        )
    return column.cast(pa.large_binary())


def _label_table(
    names: tuple[str, ...] | None, train_values: Sequence[Any], where: str
) -> LabelTable:
    is_named = names is not None and all(v in names for v in train_values if isinstance(v, str))
    if names is not None and is_named:
        return LabelTable.from_names(names)
    return LabelTable.from_values(train_values, where)


def _class_names(schema: pa.Schema, label_column: str) -> tuple[str, ...] | None:
    metadata = schema.metadata or {}
    if b"label_names" in metadata:
        return tuple(name.strip() for name in metadata[b"label_names"].decode().split(","))
    if b"huggingface" in metadata:
        features = json.loads(metadata[b"huggingface"]).get("info", {}).get("features", {})
        names = features.get(label_column, {}).get("names")
        return tuple(names) if names else None
    return None

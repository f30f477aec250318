"""A digest that changes when the configuration or the source of prepared data changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

# Raised whenever the same source would be prepared to other arrays than before.
FORMAT_VERSION = 1


def source_key(config: BaseModel, paths: Iterable[Path]) -> str:
    """Return a digest of the configuration and of path, size and mtime of every source file.

    Args:
        config: The data configuration, its kind settled.
        paths: Files and folders (with all below them) the data are read from.
    """
    settings = config.model_dump(mode="json", exclude={"download"})
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, settings], sort_keys=True).encode())
    for path in paths:
        for line in _lines(path.absolute()):
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield _line(str(path), path.stat() if path.exists() else None)
        return
    for parent, folders, files in os.walk(path):
        folders.sort()
        yield f"{parent}\n"
        for name in sorted(files):
            file = os.path.join(parent, name)
            yield _line(file, os.stat(file) if os.path.exists(file) else None)


def _line(name: str, stat: os.stat_result | None) -> str:
    return f"{name} {stat.st_size} {stat.st_mtime_ns}\n" if stat else f"{name} absent\n"

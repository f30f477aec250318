"""Where the YAML files of search spaces are."""

from __future__ import annotations

from pathlib import Path

import yaml

from ecoautoml.errors import SpaceError
from ecoautoml.registry import suggest

_PACKAGE = Path(__file__).resolve().parents[1]
# An installed wheel holds the first; a checkout (editable install) has the second.
_FOLDERS = (_PACKAGE / "_search_spaces", _PACKAGE.parent / "search_spaces")
_SUFFIXES = (".yaml", ".yml")


def list_spaces() -> dict[str, str]:
    """Return the description of each shipped space, by name, in alphabetical order."""
    return {name: _description(path) for name, path in sorted(_shipped().items())}


def find_space(name_or_path: str | Path) -> Path:
    """Return the YAML file of a shipped space or of a path.

    Args:
        name_or_path: A shipped name ("tiny"), or a path ("spaces/mine.yaml").

    Raises:
        SpaceError: There is no such space or file; the message lists the nearest names.
    """
    path, text = Path(name_or_path), str(name_or_path)
    if path.is_file():
        return path
    shipped = _shipped()
    if text in shipped:
        return shipped[text]
    if path.suffix in _SUFFIXES or len(path.parts) > 1:
        raise SpaceError(f"{text}: there is no such file{_near_files(path)}")
    raise SpaceError(f"no search space is called {text!r}{suggest(text, sorted(shipped))}")


def _shipped() -> dict[str, Path]:
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in folder.glob("*.yaml")}


def _description(path: Path) -> str:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    return str(tree.get("description", "")) if isinstance(tree, dict) else ""


def _near_files(path: Path) -> str:
    folder = path.parent
    files = folder.iterdir() if folder.is_dir() else iter(())
    names = sorted(entry.name for entry in files if entry.suffix in _SUFFIXES)
    return suggest(path.name, names) if names else f"; {folder} holds no YAML file."

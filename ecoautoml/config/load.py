"""YAML file, mapping or config object → `SearchConfig`, with one clear message on any mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ecoautoml.config.models import SearchConfig
from ecoautoml.errors import ConfigError

_PLAINER = {
    "model_type": "expected keys and values",
    "model_attributes_type": "expected a kind, or keys and values",
    "tuple_type": "expected a list",
    "path_type": "expected a path",
}
"""What was expected, by pydantic's type of error, where its own words name Python classes."""


def load_config(
    source: str | Path | Mapping[str, Any] | SearchConfig, overrides: Iterable[str] = ()
) -> SearchConfig:
    """Return the configuration.

    Args:
        source: A YAML file, a mapping, or a finished `SearchConfig`.
        overrides: "key.path=value" strings; the value is read as YAML.

    Raises:
        ConfigError: Anything wrong, with file, key, what was given and what is allowed.
    """
    if isinstance(source, SearchConfig):
        if not list(overrides):
            return source
        origin, tree = "config", source.model_dump(mode="json")
    elif isinstance(source, Mapping):
        origin, tree = "config", dict(source)
    else:
        origin, tree = str(source), _read_yaml(Path(source))
    for override in overrides:
        tree = _apply_override(tree, override)
    try:
        return SearchConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_describe(error, origin, tree)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file{_near_files(path)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(f"{path}, {where}: {problem}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, such as 'data: digits'")
    return {str(key): _numbers_from_yaml(value) for key, value in tree.items()}


def _numbers_from_yaml(value: Any) -> Any:
    """Turn "1e-3", which YAML 1.1 reads as text, into the number that was meant."""
    if isinstance(value, dict):
        return {str(key): _numbers_from_yaml(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers_from_yaml(item) for item in value]
    if isinstance(value, str) and "e" in value.lower() and value[:1] in "0123456789.+-":
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _apply_override(tree: Mapping[str, Any], override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as --set budget.trials=50")
    try:
        value = _numbers_from_yaml(yaml.safe_load(text))
    except yaml.YAMLError:
        value = text
    return _with_value(tree, key.strip().split("."), value)


def _with_value(tree: Any, path: list[str], value: Any) -> dict[str, Any]:
    if isinstance(tree, str):  # a bare string means {kind: string}
        tree = {"kind": tree}
    copy = dict(tree) if isinstance(tree, Mapping) else {}
    copy[path[0]] = _with_value(copy.get(path[0]), path[1:], value) if path[1:] else value
    return copy


def _describe(error: ValidationError, origin: str, tree: Mapping[str, Any]) -> str:
    details = error.errors(include_url=False)
    lines = [f"{origin}: {_describe_one(detail, tree)}" for detail in details[:5]]
    if len(details) > 5:
        lines.append(f"{origin}: … and {len(details) - 5} more")
    return "\n".join(lines)


def _describe_one(detail: Any, tree: Mapping[str, Any]) -> str:
    path = _yaml_path(detail["loc"], tree)
    given = detail.get("input")
    kind = detail["type"]
    where = path or "the file"
    if kind == "extra_forbidden":
        allowed = _allowed_keys(detail["loc"][:-1])
        return f"unknown key '{path}'{_hint(str(detail['loc'][-1]), allowed)}"
    if kind == "missing":
        return f"'{path}' is missing{_example(path)}"
    if kind in ("union_tag_invalid", "literal_error"):
        allowed = _split_expected(detail)
        shown = given.get("kind", given) if isinstance(given, Mapping) else given
        return f"'{where}' is {shown!r}{_hint(str(shown), allowed)}"
    message = _PLAINER.get(kind, detail["msg"].removeprefix("Value error, "))
    if kind == "value_error":
        return f"'{where}': {message}" if path else message
    shown = repr(given) if len(repr(given)) < 80 else type(given).__name__
    return f"'{where}' is {shown}: {message[0].lower()}{message[1:]}"


def _yaml_path(location: tuple[int | str, ...], tree: Any) -> str:
    """Return the key path as the user wrote it: without pydantic's union tags."""
    parts: list[str] = []
    node = tree
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(node, Mapping) and part not in node and not is_last:
            continue
        if isinstance(part, str) and not isinstance(node, Mapping) and not is_last:
            continue
        parts.append(str(part))
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
    return ".".join(parts)


def _allowed_keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys allowed at a place of the tree, following pydantic's union tags."""
    model: Any = SearchConfig
    for part in location:
        model = _descend(model, part)
        if model is None:
            return []
    return list(model.model_fields) if _is_model(model) else []


def _descend(model: Any, part: int | str) -> Any:
    if isinstance(model, list):
        return next(
            (m for m in model if m.model_fields["kind"].annotation.__args__[0] == part), None
        )
    if not _is_model(model) or part not in model.model_fields:
        return None
    members = _models_in(model.model_fields[part].annotation)
    return members[0] if len(members) == 1 else members or None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if _is_model(annotation):
        return [annotation]
    return [model for arg in getattr(annotation, "__args__", ()) for model in _models_in(arg)]


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _split_expected(detail: Any) -> list[str]:
    context = detail.get("ctx", {})
    text = str(context.get("expected_tags") or context.get("expected") or "")
    return [name.strip(" '\"") for name in text.replace(" or ", ", ").split(",") if name.strip()]


def _hint(given: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(given, allowed, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return f"{hint} allowed: {', '.join(allowed)}" if allowed else hint.rstrip(";")


def _example(path: str) -> str:
    examples = {
        "data": "data: digits",
        "space": "space: tiny",
        "data.path": "data: {path: images/}",
    }
    return f"; write for example '{examples[path]}'" if path in examples else ""


def _near_files(path: Path) -> str:
    folder = path.parent
    names = [entry.name for entry in folder.glob("*.y*ml")] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.4)
    return f"; did you mean {folder / near[0]}?" if near else ""

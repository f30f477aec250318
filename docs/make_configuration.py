"""Writes docs/configuration.md from the models in ecoautoml/config/models.py.

    python docs/make_configuration.py

Meaning, range and default of every key come from the JSON schema, whose descriptions are the
docstrings under the fields. tests/test_docs.py fails when the page is not what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ecoautoml.config.load import load_config
from ecoautoml.config.models import SearchConfig
from ecoautoml.errors import ConfigError
from ecoautoml.records.columns import METRICS
from ecoautoml.study.run_folder import MAY_CHANGE

PAGE = Path(__file__).parent / "configuration.md"
Schema = Mapping[str, Any]

SECTIONS = (
    "data",
    "prefer",
    "training",
    "sampler",
    "pruner",
    "budget",
    "executor",
    "measure",
    "measure.meter",
    "carbon",
)
"""Keys with keys of their own, in the order of the page."""

KINDS = {
    "data": "Without `kind`, a mapping with `path` is `auto`, any other is `digits`.",
    "sampler": "Without `kind`, a mapping is `auto`.",
    "pruner": "Without `kind`, a mapping is `auto`.",
    "executor": "There is one kind so far, `local`.",
    "measure.meter": "Without `kind`, a mapping is `auto`.",
}
"""What stands above the kinds of a section."""

INTRODUCTION = """\
# Configuration

<!-- Written by docs/make_configuration.py; a change belongs into ecoautoml/config/models.py. -->

A search is described by one YAML file. The smallest one:

```yaml
data: digits
space: tiny
```

Every other key has a default. `ecoautoml config show CONFIG` checks a file and prints it with all
defaults filled in; `ecoautoml config schema` prints the JSON schema, with which an editor can
complete and check keys. From Python, `search()` takes the path of a file, a dict of the same form,
or a `SearchConfig`.

**`--set KEY=VALUE`** changes one value of the file, and may be repeated. Keys are joined by dots,
the value is read as YAML:

```
ecoautoml search config.yaml --set budget.trials=50 --set 'objectives=[validation_accuracy, macs]'
```

From Python: `search("config.yaml", overrides=["budget.trials=50"])`.

**Bare strings.** Where a section has several kinds, a bare string is its kind: `sampler: random`
means `sampler: {kind: random}`. `--set` follows: over `data: digits`, `--set data.subset=200` gives
`data: {kind: digits, subset: 200}`.

**Numbers.** Units stand in the names (`trial_time_limit_s`, `energy_wh`, `latency_ms`); values are
bare numbers. `1e-3` is read as a number, although YAML 1.1 calls it text. `null` stands for "not
given".

**Paths** are relative to the folder the command is started in.

**Resuming.** With `--resume`, only these keys may differ from those the run was made with:
{may_change}.

**Mistakes** are answered in one sentence each, the first five of them, with exit code 2. The search
has not begun then. Some examples:

"""

MISTAKES: tuple[Mapping[str, Any], ...] = (
    {"data": "digits"},
    {"data": "digits", "space": "tiny", "budget": {"trails": 50}},
    {"data": "digits", "space": "tiny", "sampler": "tpee"},
    {"data": "digits", "space": "tiny", "budget": {"hours": -1}},
    {"data": "digits", "space": "tiny", "constraints": ["latency_ms <= 5 ms"]},
    {"data": "digits", "space": "tiny", "prefer": {"at_least": {"validation_accuracy": 93}}},
    {"data": "digits", "space": "tiny", "budget": {"carbon_g": 5}},
)
"""Configurations whose messages the page shows."""


def page() -> str:
    """Return the whole page."""
    schema = SearchConfig.model_json_schema()
    parts = [
        f"{_introduction()}```\n{_messages()}```\n",
        f"## The whole file\n\n{_table(schema, schema)}",
        _metrics(),
        *(_section(path, schema) for path in SECTIONS),
    ]
    return "\n".join(parts)


# --- parts of the page --------------------------------------------------------------------------


def _introduction() -> str:
    keys = ", ".join(f"`{key}`" for key in sorted(MAY_CHANGE))
    return INTRODUCTION.replace("{may_change}", keys)


def _messages() -> str:
    """Return what the command line prints for each of `MISTAKES`."""
    texts = []
    for tree in MISTAKES:
        try:
            load_config(tree)
        except ConfigError as error:
            texts.append(f"Error: {str(error).replace('config:', 'config.yaml:', 1)}\n")
        else:
            raise AssertionError(f"{tree} is no mistake")
    return "".join(texts)


def _metrics() -> str:
    rows = (
        (
            f"`{metric.name}`",
            metric.title,
            metric.direction,
            "yes" if metric.is_known_before_training else "no",
        )
        for metric in METRICS.values()
    )
    return (
        "## Metrics\n\nWhat `objectives` and `constraints` can name. A constraint on a metric that "
        "is known before training costs no training when it is violated. An energy that no meter "
        "could read is unknown: a constraint on it is then not judged, and a model without a known "
        "value in every objective is not on the front.\n\n"
        + _rows(("Metric", "Meaning", "Better", "Known before training"), rows)
    )


def _section(path: str, schema: Schema) -> str:
    """Return one section: a table of its keys, or one per kind."""
    field = _field(path, schema)
    lead = _text(field.get("description", ""))
    head = f"{'###' if '.' in path else '##'} {path}\n\n"
    models = _kinds(field, schema)
    if path not in KINDS:
        model = _resolved(field, schema)
        return f"{head}{lead or _text(model['description'])}\n\n{_table(model, schema)}"
    shared = _shared(models) if len(models) > 1 else {}
    parts = [f"{head}{lead} {KINDS[path]}\n"]
    if shared:
        model = {"properties": shared}
        parts.append(f"Keys of every kind:\n\n{_table(model, schema)}")
    parts += [_kind(path, model, shared, schema) for model in models]
    return "\n".join(parts)


def _kind(path: str, model: Schema, shared: Mapping[str, Any], schema: Schema) -> str:
    own = {name: field for name, field in model["properties"].items() if name not in shared}
    name = own.pop("kind")["const"]
    level = "####" if "." in path else "###"
    head = f"{level} {path.rpartition('.')[2]}: {name}\n\n{_text(model['description'])}\n"
    if not own:
        return head
    return f"{head}\n{_table({**model, 'properties': own}, schema)}"


def _table(model: Schema, schema: Schema) -> str:
    required = model.get("required", ())
    rows = (
        (
            f"`{name}`",
            _text(field.get("description") or _resolved(field, schema)["description"]),
            _allowed(name, field),
            "required" if name in required else _default(field),
        )
        for name, field in model["properties"].items()
    )
    return _rows(("Key", "Meaning", "Value", "Default"), rows)


def _rows(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = tuple(titles)
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(_row(line) for line in lines)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


# --- words for a schema -------------------------------------------------------------------------


def _text(description: str) -> str:
    """Return a docstring as Markdown on one line; what Python calls None is null in YAML."""
    text = " ".join(description.split()).replace("``", "`")
    return re.sub(r"\bNone\b", "`null`", text)


def _allowed(name: str, field: Schema) -> str:
    """Return which values a key may have."""
    options = field.get("anyOf", [field])
    texts = [_type(name, option) for option in options if option.get("type") != "null"]
    if len(texts) < len(options):
        texts.append("`null`")
    return " or ".join(texts)


def _type(name: str, field: Schema) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "oneOf" in field or "$ref" in field:
        return "see below"
    if field["type"] in ("integer", "number"):
        return f"{field['type']}{_range(field)}"
    if field["type"] == "array":
        items = field["items"]
        if items.get("type") == "object":
            return "list of mappings"
        is_number = items.get("type") in ("integer", "number")
        kind = _type(name, items).replace(items.get("type", ""), f"{items.get('type')}s", 1)
        return f"list of {kind}" if is_number else "list of texts"
    if field["type"] == "string":
        return _string(field)
    return {"boolean": "`true` or `false`", "object": "mapping"}[field["type"]]


def _string(field: Schema) -> str:
    if field.get("format") == "path":
        return "path"
    longest = f", at most {field['maxLength']} characters" if "maxLength" in field else ""
    return f"text like `{field['pattern']}`{longest}" if "pattern" in field else "text"


def _range(field: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]:g}" for name, sign in signs.items() if name in field]
    if field.get("exclusiveMaximum") == 2**31:
        limits[-1] = "< 2³¹"
    return f" {' and '.join(limits)}" if limits else ""


def _default(field: Schema) -> str:
    """Return the default as YAML."""
    value = field.get("default")
    if isinstance(value, Mapping) and value:
        return f"`{value['kind']}`" if "kind" in value else "see below"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if value == {}:
        return "{}"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


# --- walking a schema ---------------------------------------------------------------------------


def _field(path: str, schema: Schema) -> Schema:
    """Return the field at a key path."""
    node: Schema = schema
    for name in path.split("."):
        node = _resolved(node, schema)["properties"][name]
    return node


def _resolved(node: Schema, schema: Schema) -> Schema:
    if "$ref" not in node:
        return node
    found: Schema = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _kinds(field: Schema, schema: Schema) -> list[Schema]:
    """Return the models a field can hold, in the order in which the code names them."""
    return [_resolved(option, schema) for option in field.get("oneOf", [field])]


def _shared(models: list[Schema]) -> dict[str, Any]:
    """Return the fields that all models have alike."""
    first, *others = (model["properties"] for model in models)
    return {
        name: field
        for name, field in first.items()
        if all(other.get(name) == field for other in others)
    }


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

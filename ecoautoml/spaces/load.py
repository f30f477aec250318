"""YAML file or mapping → `SearchSpace`, with one clear message on any mistake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ecoautoml.errors import SpaceError
from ecoautoml.registry import suggest
from ecoautoml.spaces.dimensions import SECTIONS, Condition, Dimension, SearchSpace, Section
from ecoautoml.spaces.locate import find_space
from ecoautoml.spaces.stages import stage_drafts
from ecoautoml.spaces.syntax import Draft, Place, draft, parse_conditions, shown
from ecoautoml.spaces.vocabulary import (
    ANY,
    ARCHITECTURES,
    BLOCK_BUILDERS,
    REQUIRED,
    SECTION_KEYS,
    Rule,
    compression_rules,
    compression_steps,
    owner_of,
)

_TOP_KEYS = ("name", "description", *SECTIONS)
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "compression": {"quantize": "none"},
    "runtime": {"runtime": "auto"},
}


def load_space(source: str | Path | Mapping[str, Any]) -> SearchSpace:
    """Return the search space.

    Args:
        source: A shipped name, a YAML file, or a mapping of the same form.

    Raises:
        SpaceError: Anything wrong: file, key path, what was given, what is allowed.
    """
    if isinstance(source, Mapping):
        origin, tree, default_name = "space", source, "space"
    else:
        path = find_space(source)
        origin, tree, default_name = str(path), _read_yaml(path), path.stem
    place = Place(origin=origin)
    tree = place.check_keys(_numbers_from_yaml(tree), _TOP_KEYS)
    if "architecture" not in tree:
        raise place.error("'architecture' is missing")
    builder, drafts = _architecture_drafts(tree["architecture"], place.at("architecture"))
    for section in SECTIONS[1:]:
        drafts += _section_drafts(section, tree.get(section), place.at(section))
    return SearchSpace(
        name=_text(tree.get("name", default_name), place.at("name")),
        description=_text(tree.get("description", ""), place.at("description")),
        builder=builder,
        parameters=_in_order(_resolved(drafts)),
    )


# --- reading --------------------------------------------------------------------------------


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping; YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key_node.value}' stands twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "this is not YAML"
        raise SpaceError(f"{path}{where}: {problem}") from None


def _numbers_from_yaml(value: Any) -> Any:
    """Turn "1e-3", which YAML 1.1 reads as text, into the number that was meant."""
    if isinstance(value, Mapping):
        return {key: _numbers_from_yaml(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers_from_yaml(item) for item in value]
    if isinstance(value, str) and "e" in value.lower() and value[:1] in "0123456789.+-":
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _text(value: object, place: Place) -> str:
    if not isinstance(value, str):
        raise place.error(f"is {shown(value)}; expected text")
    return value.strip()


# --- sections -------------------------------------------------------------------------------


def _architecture_drafts(tree: object, place: Place) -> tuple[str, list[Draft]]:
    if not isinstance(tree, Mapping):
        raise place.error(f"is {shown(tree)}; expected keys and values")
    if "builder" not in tree:
        raise place.error(f"'builder' is missing; allowed: {', '.join(ARCHITECTURES)}")
    builder = str(tree["builder"])
    if builder not in ARCHITECTURES:
        raise place.at("builder").error(f"is {builder!r}{suggest(builder, ARCHITECTURES)}")
    rules = dict(ARCHITECTURES[builder])
    has_stages = builder in BLOCK_BUILDERS
    if builder == "python":  # its function says what else there is
        rules |= {str(key): ANY for key in tree if key not in rules and key != "builder"}
    place.check_keys(tree, ["builder", *rules, *(["stages"] if has_stages else [])])
    missing = [key for key in REQUIRED[builder] if key not in tree]
    if missing:
        raise place.error(f"{missing[0]!r} is missing; builder {builder} needs it")
    drafts = _plain_drafts("architecture", tree, rules, place)
    if has_stages:
        drafts += stage_drafts(tree["stages"], place.at("stages"))
    return builder, drafts


def _section_drafts(section: Section, tree: object, place: Place) -> list[Draft]:
    """Return the drafts of a section beside the architecture, defaults filled in."""
    defaults = _DEFAULTS.get(section, {})
    given = tree if isinstance(tree, Mapping) else {}
    is_compression = section == "compression"
    rules = compression_rules(map(str, given)) if is_compression else SECTION_KEYS[section]
    checked = place.check_keys({} if tree is None else tree, list(rules))
    drafts = _plain_drafts(section, {**defaults, **checked}, rules, place)
    return _with_owners(drafts, place) if is_compression else drafts


def _with_owners(drafts: list[Draft], place: Place) -> list[Draft]:
    """Return the drafts, each setting of a step active only where the step is taken.

    Raises:
        SpaceError: A step's setting stands there without the step.
    """
    known = {item.dimension.name: item.dimension for item in drafts}
    return [_with_owner(item, known) for item in drafts]


def _with_owner(item: Draft, known: Mapping[str, Dimension]) -> Draft:
    owner = owner_of(item.dimension.name, compression_steps())
    if owner is None:
        return item
    if owner not in known:
        raise item.place.error(f"says how to {owner}, but compression.{owner} is missing")
    values = known[owner].values or ()
    taken = tuple(value for value in values if value not in ("none", False))
    if len(taken) == len(values):
        return item
    return replace(item, automatic=(Condition(name=owner, values=taken),))


def _plain_drafts(
    section: Section, tree: Mapping[str, Any], rules: Mapping[str, Rule], place: Place
) -> list[Draft]:
    return [
        draft(tree[key], name=key, section=section, rule=rule, place=place.at(key))
        for key, rule in rules.items()
        if key in tree
    ]


# --- conditions and order -------------------------------------------------------------------


def _resolved(drafts: list[Draft]) -> list[tuple[Dimension, Place]]:
    known: dict[str, Dimension] = {}
    for item in drafts:
        name = item.dimension.name
        if name in known:
            other = known[name].section
            raise item.place.error(f"{name!r} also stands in {other}; names are unique in a space")
        known[name] = item.dimension
    return [(_with_conditions(item, known), item.place) for item in drafts]


def _with_conditions(item: Draft, known: Mapping[str, Dimension]) -> Dimension:
    place = item.place.at("when")
    written = parse_conditions(item.when, known, scope=item.scope, place=place)
    return replace(item.dimension, conditions=(*item.automatic, *written))


def _in_order(resolved: list[tuple[Dimension, Place]]) -> tuple[Dimension, ...]:
    """Return the dimensions so that each follows those it asks about, else as written."""
    ordered: dict[str, Dimension] = {}
    waiting = resolved
    while waiting:
        later = []
        for dimension, where in waiting:
            if all(condition.name in ordered for condition in dimension.conditions):
                ordered[dimension.name] = dimension
            else:
                later.append((dimension, where))
        if len(later) == len(waiting):
            names = " → ".join(dimension.name for dimension, _ in later)
            raise later[0][1].error(f"conditions go in a circle: {names}")
        waiting = later
    return tuple(ordered.values())

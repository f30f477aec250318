"""The syntax of one dimension in YAML: scalar, list, range, choices, and ``when``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ecoautoml.errors import SpaceError
from ecoautoml.registry import suggest
from ecoautoml.spaces.dimensions import Condition, Dimension, Section
from ecoautoml.spaces.vocabulary import Rule

_RANGE_KEYS = ("low", "high", "step", "log", "choices", "when", "per")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a file something stands: the file and the key path, for messages."""

    origin: str
    path: tuple[str, ...] = ()

    def at(self, key: object) -> Place:
        """Return the place one key further in."""
        return replace(self, path=(*self.path, str(key)))

    def error(self, message: str) -> SpaceError:
        """Return the error with this place in front."""
        where = f"{self.origin}: {'.'.join(self.path)}" if self.path else self.origin
        return SpaceError(f"{where}: {message}")

    def check_keys(self, tree: object, allowed: Sequence[str]) -> Mapping[str, Any]:
        """Return the mapping that stands here, when it has no other keys than the allowed ones."""
        if not isinstance(tree, Mapping):
            raise self.error(f"is {shown(tree)}; expected keys and values")
        for key in tree:
            if str(key) not in allowed:
                raise self.error(f"unknown key {str(key)!r}{suggest(str(key), allowed)}")
        return tree


def shown(value: object) -> str:
    """Return a given value for a message, shortened."""
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parse_dimension(
    spec: object, *, name: str, section: Section, rule: Rule, place: Place
) -> Dimension:
    """Return the dimension a piece of YAML describes, without its conditions.

    Raises:
        SpaceError: It is not of the syntax, or a value is against the rule.
    """
    if isinstance(spec, Mapping):
        place.check_keys(spec, _RANGE_KEYS)
        if "choices" not in spec:
            return _parse_range(spec, name=name, section=section, rule=rule, place=place)
        extra = sorted({"low", "high", "step", "log"} & set(spec))
        if extra:
            raise place.error(f"has both 'choices' and {extra[0]!r}; give one of them")
        spec = spec["choices"]
    given = spec if isinstance(spec, list | tuple) else [spec]
    choices = _check_choices(given, rule, place)
    return Dimension(name=name, section=section, kind="categorical", choices=choices)


def _check_choices(given: Sequence[object], rule: Rule, place: Place) -> tuple[Any, ...]:
    if not given:
        raise place.error("is an empty list; give at least one value")
    for value in given:
        if not isinstance(value, bool | int | float | str):
            raise place.error(f"is {shown(value)}; allowed: {rule.allowed}")
        _check_value(value, rule, place)
    is_numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in given)
    has_float = rule.kind == "float" or any(isinstance(value, float) for value in given)
    choices: list[Any] = list(given)
    if is_numeric and has_float:
        choices = [float(value) for value in choices]
    if len({(type(value) is bool, value) for value in choices}) < len(choices):
        raise place.error(f"names a value twice: {shown(list(given))}")
    return tuple(sorted(choices) if is_numeric else choices)


def _check_value(value: object, rule: Rule, place: Place) -> None:
    if not rule.allows(value):
        names = [str(name) for name in rule.names]
        tail = suggest(str(value), names) if names else f"; allowed: {rule.allowed}"
        raise place.error(f"is {shown(value)}{tail}")


def _parse_range(
    spec: Mapping[str, Any], *, name: str, section: Section, rule: Rule, place: Place
) -> Dimension:
    low, high = (_bound(spec, key, rule, place) for key in ("low", "high"))
    step, log = spec.get("step"), spec.get("log", False)
    if not isinstance(log, bool):
        raise place.at("log").error(f"is {shown(log)}; allowed: true or false")
    if low > high:
        raise place.error(f"low ({low:g}) is above high ({high:g})")
    if log and (low <= 0 or step is not None):
        raise place.error("a logarithmic range needs a low above 0, and no step")
    is_int = rule.kind != "float" and all(
        isinstance(number, int) for number in (low, high, step) if number is not None
    )
    if step is not None:
        _check_step(low, high, step, place)
    elif is_int:
        step = 1
    if rule.names:  # a range cannot be checked against names by its ends alone
        raise place.error(f"give a list instead of a range; allowed: {rule.allowed}")
    number: type[int] | type[float] = int if is_int else float
    return Dimension(
        name=name,
        section=section,
        kind="int" if is_int else "float",
        low=number(low),
        high=number(high),
        step=None if step is None else number(step),
        log=log,
    )


def _bound(spec: Mapping[str, Any], key: str, rule: Rule, place: Place) -> float:
    if key not in spec:
        raise place.error(f"has no {key!r}; give low and high, choices, or a list")
    value = spec[key]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise place.at(key).error(f"is {shown(value)}; expected a number")
    _check_value(value, rule, place.at(key))
    return value


def _check_step(low: float, high: float, step: object, place: Place) -> None:
    if not isinstance(step, int | float) or isinstance(step, bool) or step <= 0:
        raise place.at("step").error(f"is {shown(step)}; expected a number above 0")
    steps = (high - low) / step
    if abs(steps - round(steps)) > 1e-6:
        last = low + int(steps) * step
        raise place.error(f"steps of {step:g} from {low:g} miss high ({high:g}); use {last:g}")


def parse_conditions(
    when: object, known: Mapping[str, Dimension], *, scope: str, place: Place
) -> tuple[Condition, ...]:
    """Return the conditions of a ``when``.

    Args:
        when: Mapping from the name of a dimension to a value, a list of values, or "> NUMBER".
        known: All dimensions of the space by name.
        scope: Prefix tried first ("stage1."), so that a stage can speak of its own keys.
        place: Where it stands.

    Raises:
        SpaceError: Unknown name, or a value that dimension never has.
    """
    if when is None:
        return ()
    if not isinstance(when, Mapping) or not when:
        raise place.error(f"is {shown(when)}; write for example {{optimizer: [sgd]}}")
    return tuple(
        _parse_condition(str(key), demand, known, scope, place) for key, demand in when.items()
    )


def _parse_condition(
    key: str, demand: object, known: Mapping[str, Dimension], scope: str, place: Place
) -> Condition:
    name = scope + key if scope + key in known else key
    if name not in known:
        raise place.error(f"no dimension is called {key!r}{suggest(key, known)}")
    other = known[name]
    if isinstance(demand, str) and demand.lstrip().startswith(">"):
        return Condition(name=name, above=_threshold(demand, other, place.at(key)))
    values = demand if isinstance(demand, list | tuple) else [demand]
    try:
        return Condition(name=name, values=tuple(other.accept(value) for value in values))
    except SpaceError as error:
        raise place.error(f"{error}, or a threshold such as '> 0'") from None


def _threshold(demand: str, other: Dimension, place: Place) -> float:
    try:
        above = float(demand.lstrip().removeprefix(">"))
    except ValueError:
        raise place.error(f"is {demand!r}; expected '> NUMBER'") from None
    if not other.is_ordered:
        raise place.error(f"is {demand!r}, but {other.name} has no order; give a list of values")
    return above


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A dimension whose conditions are not resolved yet.

    Attributes:
        dimension: The dimension, without conditions.
        when: Its ``when`` as written; None without one.
        scope: Prefix under which ``when`` looks first.
        automatic: Conditions that follow from the structure (a stage's depth).
        place: Where it stands.
    """

    dimension: Dimension
    when: object
    scope: str
    automatic: tuple[Condition, ...]
    place: Place


def draft(
    spec: object,
    *,
    name: str,
    section: Section,
    rule: Rule,
    place: Place,
    scope: str = "",
    automatic: tuple[Condition, ...] = (),
) -> Draft:
    """Return the draft a piece of YAML describes.

    Raises:
        SpaceError: It is not of the syntax, or a value is against the rule.
    """
    when = spec.get("when") if isinstance(spec, Mapping) else None
    if isinstance(spec, Mapping) and "per" in spec and not scope:
        raise place.at("per").error("only the settings of a stage can be per block or per stage")
    dimension = parse_dimension(spec, name=name, section=section, rule=rule, place=place)
    return Draft(dimension=dimension, when=when, scope=scope, automatic=automatic, place=place)

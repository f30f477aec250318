"""The stages of a block network: a list in YAML, flat dimensions with conditions here.

Everything of a stage exists only while its depth is above 0, and what belongs to block j only
while the depth is above j. These conditions are made here; nobody writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecoautoml.spaces.dimensions import Condition
from ecoautoml.spaces.syntax import Draft, Place, draft, shown
from ecoautoml.spaces.vocabulary import PER_BLOCK_KEYS, STAGE, Rule


def stage_drafts(stages: object, place: Place) -> list[Draft]:
    """Return the dimensions of all stages ("stage0.depth", "stage1.block0.expansion").

    Raises:
        SpaceError: A stage is wrong, or every stage may be empty at once.
    """
    if not isinstance(stages, list | tuple) or not stages:
        raise place.error(f"is {shown(stages)}; expected a list of stages")
    drafts = [
        item for index, stage in enumerate(stages) for item in _stage(index, stage, place.at(index))
    ]
    depths = [item for item in drafts if item.dimension.name.endswith(".depth")]
    if all(_may_be_empty(depth) for depth in depths):
        raise place.error("every stage may have depth 0; give one of them at least 1 block")
    return drafts


def _stage(index: int, stage: object, place: Place) -> list[Draft]:
    tree = place.check_keys(stage, list(STAGE))
    missing = [key for key in ("depth", "kernel", "width") if key not in tree]
    if missing:
        raise place.error(f"{missing[0]!r} is missing")
    if "expansion" not in tree and tree.get("block", "ir") != "ds":
        raise place.error("'expansion' is missing; only a stage of block 'ds' has none")
    prefix = f"stage{index}."
    depth = draft(
        tree["depth"],
        name=f"{prefix}depth",
        section="architecture",
        rule=STAGE["depth"],
        place=place.at("depth"),
        scope=prefix,
    )
    if not isinstance((depth.dimension.values or ("",))[0], int):
        raise place.at("depth").error("must be an integer, a list, or a range of integers")
    rest = {key: rule for key, rule in STAGE.items() if key in tree and key != "depth"}
    drafts = [
        item
        for key, rule in rest.items()
        for item in _setting(key, tree, rule=rule, depth=depth, place=place)
    ]
    return [depth, *drafts]


def _setting(
    key: str, tree: Mapping[str, Any], *, rule: Rule, depth: Draft, place: Place
) -> list[Draft]:
    """Return the drafts of one key of a stage: one, or one per block."""
    spec, here = tree[key], place.at(key)
    prefix = depth.dimension.name.removesuffix("depth")
    extra = _expansion_condition(tree, prefix, place) if key == "expansion" else ()
    depths = [int(str(value)) for value in depth.dimension.values or ()]
    if not _is_per_block(key, spec, here):
        names = {f"{prefix}{key}": 0}
    else:
        names = {f"{prefix}block{block}.{key}": block for block in range(max(depths))}
    return [
        draft(
            spec,
            name=name,
            section="architecture",
            rule=rule,
            place=here,
            scope=prefix,
            automatic=(*_beyond(depth, block), *extra),
        )
        for name, block in names.items()
    ]


def _beyond(depth: Draft, block: int) -> tuple[Condition, ...]:
    """Return the condition that the stage has more than ``block`` blocks, where it may not."""
    depths = [int(str(value)) for value in depth.dimension.values or ()]
    if min(depths) > block and depth.when is None:
        return ()
    return (Condition(name=depth.dimension.name, above=block),)


def _is_per_block(key: str, spec: object, place: Place) -> bool:
    per = spec.get("per") if isinstance(spec, Mapping) else None
    if per is None:
        return key == "expansion"
    if key not in PER_BLOCK_KEYS or per not in ("block", "stage"):
        allowed = "block, stage" if key in PER_BLOCK_KEYS else "stage only, by leaving it out"
        raise place.at("per").error(f"is {shown(per)}; allowed: {allowed}")
    return bool(per == "block")


def _expansion_condition(
    tree: Mapping[str, Any], prefix: str, place: Place
) -> tuple[Condition, ...]:
    """Return the condition that the blocks are of a kind that expands; "ds" is not."""
    block = tree.get("block", "ir")
    kinds = block.get("choices", []) if isinstance(block, Mapping) else block
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    expanding = tuple(kind for kind in kinds if kind != "ds")
    if not expanding:
        raise place.at("expansion").error("blocks of kind 'ds' have no expansion; remove it")
    if len(expanding) == len(kinds):
        return ()
    return (Condition(name=f"{prefix}block", values=expanding),)


def _may_be_empty(depth: Draft) -> bool:
    return depth.when is not None or 0 in (depth.dimension.values or ())

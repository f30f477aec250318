import itertools
import math

import pytest

from ecoautoml.errors import SpaceError
from ecoautoml.spaces import (
    Condition,
    Dimension,
    SearchSpace,
    candidate,
    decode,
    is_active,
    load_space,
    validate_point,
    with_choices,
)


def dimension(name="d", **fields):
    return Dimension(name=name, section="architecture", **fields)


def two_stage_space(**changes):
    stages = [
        {"block": "ds", "depth": 1, "kernel": 3, "width": [8, 16]},
        {"depth": {"low": 0, "high": 2}, "kernel": [3, 5], "width": 16, "expansion": [2, 4]},
    ]
    tree = {
        "name": "two",
        "architecture": {
            "builder": "efficientnet",
            "resolution": 16,
            "stem_width": 8,
            "activation": "relu",
            "head_width": 32,
            "stages": stages,
        },
        "hyperparameters": {
            "optimizer": ["adamw", "sgd"],
            "momentum": {"choices": [0.8, 0.9], "when": {"optimizer": "sgd"}},
        },
    }
    return load_space({**tree, **changes})


def every_point(space):
    """Walk all points by brute force: the slow twin of `SearchSpace.size`."""
    seen = set()
    for values in itertools.product(*(d.values for d in space.dimensions)):
        chosen = dict(zip([d.name for d in space.dimensions], values, strict=True))
        seen.add(candidate(space, chosen).key())
    return seen


def test_values_of_each_kind():
    assert dimension(kind="int", low=8, high=24, step=8).values == (8, 16, 24)
    assert dimension(kind="float", low=0.1, high=0.4, step=0.1).values == (0.1, 0.2, 0.3, 0.4)
    assert dimension(kind="float", low=0.1, high=0.4).values is None
    assert dimension(kind="categorical", choices=("a", "b")).values == ("a", "b")


def test_middle_of_a_logarithmic_range_is_geometric():
    middle = dimension(kind="float", low=1e-4, high=1e-2, log=True).middle
    assert math.isclose(middle, 1e-3)
    assert dimension(kind="int", low=1, high=100, log=True).middle == 10


def test_accept_returns_the_own_type_and_refuses_what_is_not_on_the_grid():
    grid = dimension(kind="int", low=8, high=24, step=8)
    assert grid.accept(16.0) == 16
    assert isinstance(grid.accept(16.0), int)
    for wrong in (12, 32, 0, "16", True, None):
        with pytest.raises(SpaceError, match=r"d is .*8 to 24 in steps of 8"):
            grid.accept(wrong)


def test_true_is_not_one():
    with pytest.raises(SpaceError):
        dimension(kind="categorical", choices=(0, 1)).accept(True)


def test_continuous_value_a_rounding_error_outside_is_brought_inside():
    assert dimension(kind="float", low=0.1, high=0.3).accept(0.1 + 0.2) == 0.3


def test_condition_never_holds_for_an_inactive_dimension():
    assert not Condition(name="a", above=0).holds({})
    assert Condition(name="a", above=0).holds({"a": 1})
    assert not Condition(name="a", above=1).holds({"a": 1})
    assert Condition(name="a", values=("x", "y")).holds({"a": "y"})


def test_decode_asks_for_active_dimensions_only_and_in_order():
    asked = []

    def choose(d):
        asked.append(d.name)
        return {"stage1.depth": 1}.get(d.name, d.values[0])

    made = decode(two_stage_space(), choose)
    assert asked == [
        "stage0.width",
        "stage1.depth",
        "stage1.kernel",
        "stage1.block0.expansion",
        "optimizer",
    ]
    assert "stage1.block1.expansion" not in made.architecture
    assert made.hyperparameters == {"optimizer": "adamw"}


def test_an_empty_stage_leaves_only_its_depth():
    made = decode(two_stage_space(), lambda d: d.values[0])
    assert [name for name in made.architecture if name.startswith("stage1")] == ["stage1.depth"]


def test_fixed_values_are_in_the_candidate_and_never_asked_for():
    space = two_stage_space()
    made = decode(space, lambda d: d.values[-1])
    assert made.architecture["resolution"] == 16
    assert space.fixed["stage1.width"] == 16
    assert "resolution" not in [d.name for d in space.dimensions]
    assert made.runtime == {"runtime": "auto"}
    assert made.compression == {"quantize": "none"}


def test_inactive_values_do_not_make_another_candidate():
    space = two_stage_space()
    values = {"stage0.width": 8, "stage1.depth": 0, "optimizer": "adamw"}
    more = {**values, "momentum": 0.9, "stage1.kernel": 5}
    assert candidate(space, values).key() == candidate(space, more).key()


def test_points_are_validated_by_dimension_name():
    space = two_stage_space()
    good = {"stage0.width": 8, "stage1.depth": 0, "optimizer": "adamw"}
    validate_point(space, good)
    validate_point(space, {**good, "resolution": 16})
    with pytest.raises(SpaceError, match=r"stage0\.width is 9; allowed: one of 8, 16"):
        validate_point(space, {**good, "stage0.width": 9})
    with pytest.raises(SpaceError, match=r"did you mean 'stage0\.width'"):
        validate_point(space, {**good, "stage0.widht": 8})
    with pytest.raises(SpaceError, match="momentum is missing"):
        validate_point(space, {**good, "optimizer": "sgd"})
    with pytest.raises(SpaceError, match="resolution is 32"):
        validate_point(space, {**good, "resolution": 32})


def test_size_counts_every_distinct_point_once():
    space = two_stage_space()
    # widths x (depth 0 | kernel x e | kernel x e x e) x (adamw | sgd with momentum)
    assert len(every_point(space)) == 2 * (1 + 2 * 2 + 2 * 2 * 2) * (1 + 2)
    assert math.isclose(space.size, math.log10(len(every_point(space))))


def test_size_of_a_continuous_space_is_unknown():
    changed = two_stage_space(hyperparameters={"learning_rate": {"low": 1e-4, "high": 1e-2}})
    assert changed.size is None


def test_conditions_chain():
    a, b, c = (
        dimension(name, kind="categorical", choices=(0, 1), conditions=conditions)
        for name, conditions in {
            "a": (),
            "b": (Condition(name="a", above=0),),
            "c": (Condition(name="b", above=0),),
        }.items()
    )
    space = SearchSpace(name="s", description="", builder="python", parameters=(a, b, c))
    assert not is_active(c, {"a": 1, "b": 0})
    assert not is_active(c, {"a": 0})
    assert math.isclose(space.size, math.log10(4))
    assert len(every_point(space)) == 4


def test_choices_can_be_replaced_once_patterns_are_expanded():
    space = load_space("timm_zoo")
    changed = with_choices(space, "model", ["resnet18", "resnet34"])
    assert changed.dimension("model").values == ("resnet18", "resnet34")
    assert space.dimension("model").values != changed.dimension("model").values

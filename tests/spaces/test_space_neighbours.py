import pytest

from ecoautoml.spaces import candidate, list_spaces, load_space, neighbours, validate_point
from ecoautoml.spaces.dimensions import decode

STAGE = {"kernel": [3, 5, 7], "width": {"low": 16, "high": 48, "step": 8}}


def space_with(stages, **hyperparameters):
    return load_space(
        {
            "architecture": {
                "builder": "efficientnet",
                "resolution": 16,
                "stem_width": 8,
                "activation": ["relu", "hard_swish", "swish"],
                "head_width": 32,
                "stages": stages,
            },
            "hyperparameters": hyperparameters,
        }
    )


def changes(space, values):
    start = candidate(space, values).parameters()
    return [
        {k: v for k, v in other.parameters().items() if start.get(k) != v}
        for other in neighbours(space, candidate(space, values))
    ]


def test_numbers_go_one_step_and_names_go_everywhere():
    space = space_with([{**STAGE, "depth": 1, "expansion": 2}])
    found = changes(space, {"activation": "relu", "stage0.kernel": 3, "stage0.width": 24})
    assert found == [
        {"activation": "hard_swish"},
        {"activation": "swish"},
        {"stage0.kernel": 5},
        {"stage0.width": 16},
        {"stage0.width": 32},
    ]


def test_continuous_dimensions_stay():
    space = space_with(
        [{"depth": 1, "kernel": 3, "width": 16, "expansion": 2}],
        learning_rate={"low": 1e-4, "high": 1e-2, "log": True},
    )
    found = changes(space, {"activation": "relu", "learning_rate": 1e-3})
    assert found == [{"activation": "hard_swish"}, {"activation": "swish"}]


def test_a_new_block_expands_as_the_block_before_it():
    depth = {"low": 1, "high": 3}
    space = space_with([{"depth": depth, "kernel": 3, "width": 16, "expansion": [2, 3, 4, 5]}])
    values = {"activation": "relu", "stage0.depth": 1, "stage0.block0.expansion": 5}
    assert {"stage0.depth": 2, "stage0.block1.expansion": 5} in changes(space, values)


def test_a_new_stage_is_as_the_stage_before_it_where_it_can():
    first = {**STAGE, "depth": 1, "expansion": [2, 6]}
    second = {**STAGE, "width": [64, 80, 96], "depth": {"low": 0, "high": 1}, "expansion": [2, 6]}
    space = space_with([first, second])
    values = {
        "activation": "relu",
        "stage0.kernel": 7,
        "stage0.width": 16,
        "stage0.block0.expansion": 6,
        "stage1.depth": 0,
    }
    assert {
        "stage1.depth": 1,
        "stage1.kernel": 7,
        "stage1.width": 80,  # 16 is not allowed there: the middle
        "stage1.block0.expansion": 6,
    } in changes(space, values)


@pytest.mark.parametrize("name", list_spaces())
def test_neighbours_of_a_middle_point_are_distinct_points_of_the_space(name):
    space = load_space(name)
    middle = decode(space, lambda d: d.middle)
    around = neighbours(space, middle)
    for other in around:
        validate_point(space, other.parameters())
    assert len({other.key() for other in around} - {middle.key()}) == len(around)

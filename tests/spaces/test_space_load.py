import copy
import math

import pytest
import yaml

from ecoautoml.errors import SpaceError
from ecoautoml.models.build import BUILDERS
from ecoautoml.spaces import load_space
from ecoautoml.spaces.dimensions import Condition, candidate
from ecoautoml.spaces.vocabulary import ARCHITECTURES, BLOCK_BUILDERS, REQUIRED

GOOD = yaml.safe_load("""
name: good
description: A space for tests.
architecture:
  builder: mobilenet_v3
  resolution: [16, 32]
  stem_width: {low: 8, high: 24, step: 8}
  stem_stride: [1, 2]
  activation: [relu, hard_swish]
  final_width: 64
  head_width: 64
  stages:
    - {block: ds, depth: 1, kernel: [5, 3], stride: 1, width: 16}
    - depth: {low: 0, high: 2}
      kernel: [3, 5]
      stride: 2
      width: 24
      expansion: [2, 3.5]
      se_ratio: [0, 0.25]
      activation: relu
hyperparameters:
  optimizer: [sgd, adamw]
  learning_rate: {low: 1.0e-4, high: 1.0e-1, log: true}
  momentum: {low: 0.8, high: 0.95, when: {optimizer: sgd}}
  mixup: [0, 0.2]
  epochs: 3
compression: {quantize: [none]}
runtime: {runtime: [onnxruntime]}
""")


def changed(path, value):
    """Return the good tree with one value replaced (or removed, when it is ...)."""
    tree = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    node = tree
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if isinstance(node, list):
        node[int(last)] = value
    elif value is ...:
        del node[last]
    else:
        node[last] = value
    return tree


def test_good_space_loads():
    space = load_space(GOOD)
    assert (space.name, space.builder) == ("good", "mobilenet_v3")
    assert space.dimension("stem_width").values == (8, 16, 24)
    assert space.dimension("stage0.kernel").values == (3, 5)  # ascending
    assert space.dimension("stage1.se_ratio").values == (0.0, 0.25)
    assert space.dimension("learning_rate").log


def test_stage_conditions_are_made_from_depth():
    space = load_space(GOOD)
    conditions = {p.name: [(c.name, c.above) for c in p.conditions] for p in space.parameters}
    assert conditions["stage0.kernel"] == []
    assert conditions["stage1.kernel"] == [("stage1.depth", 0)]
    assert conditions["stage1.block0.expansion"] == [("stage1.depth", 0)]
    assert conditions["stage1.block1.expansion"] == [("stage1.depth", 1)]
    assert "stage1.block2.expansion" not in conditions


def test_expansion_may_be_shared_by_a_stage_and_kernels_differ_by_block():
    tree = changed("architecture/stages/1/expansion", {"choices": [2, 4], "per": "stage"})
    tree["architecture"]["stages"][1]["kernel"] = {"choices": [3, 5], "per": "block"}
    names = [p.name for p in load_space(tree).parameters]
    assert "stage1.expansion" in names
    assert "stage1.block0.expansion" not in names
    assert "stage1.block1.kernel" in names


def test_expansion_waits_for_a_block_that_expands():
    tree = changed("architecture/stages/1/block", ["ds", "ir", "er"])
    (depth, block) = load_space(tree).dimension("stage1.block0.expansion").conditions
    assert depth.name == "stage1.depth"
    assert (block.name, block.values) == ("stage1.block", ("ir", "er"))


def test_when_may_be_a_threshold_and_stands_behind_what_it_asks_about():
    tree = changed(
        "hyperparameters/label_smoothing", {"choices": [0.0, 0.1], "when": {"mixup": "> 0"}}
    )
    space = load_space(tree)
    (condition,) = space.dimension("label_smoothing").conditions
    assert (condition.name, condition.above) == ("mixup", 0)
    names = [p.name for p in space.parameters]
    assert names.index("label_smoothing") > names.index("mixup")


def test_when_inside_a_stage_means_that_stage():
    tree = changed("architecture/stages/1/se_ratio", {"choices": [0, 0.25], "when": {"kernel": 5}})
    conditions = load_space(tree).dimension("stage1.se_ratio").conditions
    assert [c.name for c in conditions] == ["stage1.depth", "stage1.kernel"]


def test_integers_are_fine_where_numbers_are_meant():
    space = load_space(changed("hyperparameters/dropout", {"low": 0, "high": 1 / 2}))
    assert space.dimension("dropout").kind == "float"
    assert load_space(changed("hyperparameters/mixup", {"low": 0, "high": 1})).size is None


def test_scientific_notation_without_a_dot_is_a_number(tmp_path):
    path = tmp_path / "mine.yaml"
    text = yaml.safe_dump(changed("name", ...)).replace("low: 0.0001", "low: 1e-4")
    path.write_text(text)
    space = load_space(path)
    assert math.isclose(space.dimension("learning_rate").low, 1e-4)
    assert space.name == "mine"


def test_python_space_takes_any_name():
    tree = {"builder": "python", "function": "a.b:c", "resolution": 32, "layers": [1, 2]}
    assert load_space({"architecture": tree}).dimension("layers").values == (1, 2)


def test_a_name_in_two_sections_is_refused():
    tree = {
        "name": "twice",
        "architecture": {"builder": "python", "function": "a:b", "batch_size": [1, 2]},
        "hyperparameters": {"batch_size": [32, 64]},
    }
    with pytest.raises(SpaceError, match="'batch_size' also stands in architecture"):
        load_space(tree)


def test_loader_and_builders_know_the_same_names():
    assert set(ARCHITECTURES) == set(REQUIRED) == set(BUILDERS.names()) >= set(BLOCK_BUILDERS)


MISTAKES = [
    ("archtecture", {}, r"space: unknown key 'archtecture'; did you mean 'architecture'"),
    ("architecture", ..., "'architecture' is missing"),
    ("architecture", 3, "architecture: is 3; expected keys and values"),
    ("architecture/builder", ..., "architecture: 'builder' is missing; allowed: mobilenet_v3"),
    ("architecture/builder", "mobilenetv3", r"builder: is 'mobilenetv3'; did you mean"),
    ("architecture/head_widht", 3, r"unknown key 'head_widht'; did you mean 'head_width'"),
    ("architecture/head_width", ..., "'head_width' is missing; builder mobilenet_v3 needs it"),
    ("architecture/stem_width", 0, r"stem_width: is 0; allowed: an integer of at least 1"),
    ("architecture/stem_width", 8.5, "stem_width: is 8.5; allowed: an integer"),
    ("architecture/stem_width", None, "stem_width: is empty"),
    ("architecture/stem_width", [], "stem_width: is an empty list"),
    ("architecture/stem_width", [8, 8], "names a value twice"),
    ("architecture/stem_width", {"low": 8}, "has no 'high'"),
    ("architecture/stem_width", {"low": 8, "high": "x"}, "high: is 'x'; expected a number"),
    ("architecture/stem_width", {"low": 24, "high": 8}, "low .24. is above high .8."),
    ("architecture/stem_width", {"low": 8, "high": 20, "step": 8}, "miss high .20.; use 16"),
    ("architecture/stem_width", {"low": 8, "high": 16, "step": 0}, "step: is 0"),
    ("architecture/stem_width", {"low": 8, "high": 16, "stp": 8}, "did you mean 'step'"),
    ("architecture/stem_width", {"choices": [8], "low": 8}, "has both 'choices' and 'low'"),
    (
        "architecture/stem_width",
        {"choices": [8, 16], "per": "block"},
        "only the settings of a stage",
    ),
    ("architecture/stem_stride", 3, "stem_stride: is 3.*Allowed: 1, 2"),
    ("architecture/stem_stride", {"low": 1, "high": 2}, "give a list instead of a range"),
    ("architecture/activation", "hardswish", "did you mean 'hard_swish'"),
    ("architecture/stages", {}, "stages: is {}; expected a list"),
    ("architecture/stages/0", "ds", "stages.0: is 'ds'; expected keys"),
    ("architecture/stages/0/depth", [0, 1], "every stage may have depth 0"),
    ("architecture/stages/0/expansion", 3, "'ds' have no expansion"),
    ("architecture/stages/1/kernal", 3, r"stages\.1: unknown key 'kernal'; did you mean 'kernel'"),
    ("architecture/stages/1/kernel", 4, r"stages\.1\.kernel: is 4"),
    ("architecture/stages/1/width", ..., r"stages\.1: 'width' is missing"),
    ("architecture/stages/1/expansion", ..., r"stages\.1: 'expansion' is missing"),
    ("architecture/stages/1/width", {"choices": [8], "per": "block"}, "stage only"),
    ("hyperparameters", [], "hyperparameters: is .*expected keys"),
    ("hyperparameters/learning_rte", 1, "did you mean 'learning_rate'"),
    ("hyperparameters/learning_rate", 0, "allowed: a number above 0"),
    ("hyperparameters/learning_rate", {"low": 0.1, "high": 1, "step": 0.1, "log": True}, "no step"),
    ("hyperparameters/learning_rate", {"low": 0.1, "high": 1, "log": "yes"}, "log: is 'yes'"),
    ("hyperparameters/momentum", 1.5, "at least 0, at most 1"),
    ("hyperparameters/schedule", "cosin", "did you mean 'cosine'"),
    ("hyperparameters/epochs", 2.5, "epochs: is 2.5; allowed: an integer"),
    ("hyperparameters/momentum/when", {"optimiser": "sgd"}, r"momentum\.when: no dimension"),
    (
        "hyperparameters/momentum/when",
        {"optimizer": "lamb"},
        "optimizer is 'lamb'; allowed",
    ),
    ("hyperparameters/momentum/when", {"optimizer": "> 1"}, "has no order"),
    ("hyperparameters/momentum/when", {"mixup": "> much"}, "expected '> NUMBER'"),
    ("hyperparameters/momentum/when", "sgd", "write for example"),
    ("hyperparameters/momentum/when", {"momentum": "> 0"}, "circle"),
    ("runtime/activation", ["x"], "runtime: unknown key 'activation'"),
    ("compression/quantize", ["int7"], "compression.quantize"),
    ("name", 3, "name: is 3; expected text"),
]


@pytest.mark.parametrize(("path", "value", "message"), MISTAKES, ids=lambda item: str(item)[:40])
def test_mistake_is_named_in_one_line(path, value, message):
    with pytest.raises(SpaceError, match=message) as caught:
        load_space(changed(path, value))
    assert str(caught.value).startswith("space: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1|line 2"),
        ("name: x\nname: y\n", "line 2: the key 'name' stands twice"),
        ("- 1\n", "expected keys and values"),
        ("", "is empty; expected keys"),
    ],
)
def test_broken_file_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError, match=message) as caught:
        load_space(str(path))
    assert str(caught.value).startswith(str(path))


ECONOMIES = {
    "precision": (["fp32", "bf16", "fp16", "auto"], "int8"),
    "low_precision_from": ({"low": 0, "high": 1.0}, 1.5),
    "accumulation": ([1, 2, 4], 0),
    "channels_last": ([True, False], "yes"),
    "progressive_resolution": ([0.5, 1], 0),
    "trainable": (["all", "head", "last_half"], "tail"),
    "subset_fraction": ([0.25, 1], 0.0),
    "subset_until": ({"low": 0.0, "high": 1.0}, -0.1),
    "patience": ({"low": 0, "high": 8}, -1),
}


@pytest.mark.parametrize("name", ECONOMIES)
def test_what_a_training_saves_may_be_searched(name):
    values, wrong = ECONOMIES[name]
    space = load_space(changed(f"hyperparameters/{name}", values))
    assert name in {one.name for one in space.parameters}
    with pytest.raises(SpaceError, match=rf"hyperparameters\.{name}"):
        load_space(changed(f"hyperparameters/{name}", wrong))


def with_compression(**compression):
    return {
        "architecture": {"builder": "python", "function": "tiny_nets:build", "width": [4, 8]},
        "compression": compression,
    }


def test_the_settings_of_a_step_exist_only_where_the_step_is_taken():
    space = load_space(
        with_compression(
            prune=["none", "magnitude", "taylor"],
            prune_ratio={"low": 0.2, "high": 0.5},
            finetune_epochs=[0, 1],
            quantize=["none", "int8"],
        )
    )
    conditions = {one.name: one.conditions for one in space.parameters}
    taken = (Condition(name="prune", values=("magnitude", "taylor")),)
    assert conditions["prune_ratio"] == conditions["finetune_epochs"] == taken
    assert conditions["quantize"] == ()
    plain = candidate(space, {"width": 4, "prune": "none", "quantize": "int8"})
    assert dict(plain.compression) == {"prune": "none", "quantize": "int8"}


def test_a_step_that_is_always_taken_needs_no_condition():
    space = load_space(with_compression(prune="taylor", prune_ratio=[0.2, 0.5]))
    assert space.dimension("prune_ratio").conditions == ()


@pytest.mark.parametrize(
    ("compression", "words"),
    [
        ({"prune_ratio": [0.5]}, "compression.prune is missing"),
        ({"prune": ["magnitude"], "prune_rato": [0.5]}, "prune_ratio"),
        ({"quantize": ["int4"]}, "int8"),
        ({"prune": ["magnitude"], "prune_ratio": [1.0]}, "prune_ratio"),
    ],
)
def test_mistakes_in_compression_are_named(compression, words):
    with pytest.raises(SpaceError, match=words):
        load_space(with_compression(**compression))

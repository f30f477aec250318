"""A network counted from a candidate's values is the network that would be built."""

import dataclasses
import subprocess
import sys

import pytest
import yaml
from published_networks import POINTS, published
from torch import nn

from ecoautoml.errors import SpaceError
from ecoautoml.models.arithmetic import Counts, count_network
from ecoautoml.models.build import BUILDERS, build_network
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces import list_spaces, load_space
from ecoautoml.spaces.random import random_candidate
from ecoautoml.spaces.vocabulary import BLOCK_BUILDERS

BLOCK_SPACES = [name for name in list_spaces() if load_space(name).builder in BLOCK_BUILDERS]
SIDES = (29, 32, 7, 64, 33, 1, 224, 57)

# All kinds of blocks, settings of blocks, odd widths, and ratios that are no round numbers.
ODD_SPACE = yaml.safe_load("""
architecture:
  stem_width: [1, 5, 8, 13, 30]
  stem_stride: [1, 2]
  activation: [relu, mish]
  final_width: {low: 1, high: 99}
  head_width: {low: 1, high: 99}
  stages:
    - block: [ds, ir, er]
      depth: {low: 0, high: 2}
      kernel: {choices: [3, 5, 7], per: block}
      stride: [1, 2]
      width: {low: 1, high: 40}
      expansion: {low: 1.0, high: 16.0}
      se_ratio: {choices: [0, 0.1, 0.25, 0.5, 1], per: block}
    - block: [er, ir]
      depth: {low: 1, high: 3}
      kernel: [3, 5, 7]
      stride: [1, 2]
      width: {low: 3, high: 70}
      expansion: {choices: [1, 1.3, 2.5, 3], per: stage}
      se_ratio: {low: 0.0000001, high: 1.0, log: true, per: block}
      activation: {choices: [relu6, swish, hard_swish], per: block}
    - block: ds
      depth: {low: 0, high: 2}
      kernel: 5
      width: {low: 1, high: 40}
      se_ratio: {low: 0.0, high: 1.0}
    - {depth: 1, kernel: 3, stride: 2, width: 12, expansion: 1.05}
""")

SMALL = {
    "stem_width": 8,
    "activation": "relu",
    "head_width": 16,
    "stage0.depth": 2,
    "stage0.kernel": 3,
    "stage0.width": 8,
    "stage0.expansion": 2,
}


def odd_space(builder):
    architecture = {**ODD_SPACE["architecture"], "builder": builder}
    if builder == "efficientnet":
        del architecture["final_width"]
    return load_space({"architecture": architecture})


def small(builder="efficientnet", **changes):
    values = {**SMALL, **changes}
    return Candidate(space="s", builder=builder, architecture=values, hyperparameters={})


def at_side(point, side):
    """Return the candidate with another resolution, or without one."""
    architecture = {k: v for k, v in point.architecture.items() if k != "resolution"}
    if side is not None:
        architecture["resolution"] = side
    return dataclasses.replace(point, architecture=architecture)


def counts_when_built(point, side, *, in_chans, num_classes):
    """Build the network and look at what its layers do with one image."""
    network = build_network(point, in_chans=in_chans, num_classes=num_classes).eval()
    written = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda _m, _i, output: written.append(output.numel()))
    macs = count_macs(network, (1, in_chans, side, side))
    return Counts(
        params=count_params(network), macs=macs, activations=sum(written), layers=len(written)
    )


def assert_counted_as_built(point, side, *, in_chans, num_classes):
    shape = {"in_chans": in_chans, "num_classes": num_classes}
    counted = count_network(at_side(point, None), image_size=side, **shape)
    assert counted == counts_when_built(point, side, **shape), point


@pytest.mark.parametrize("name", BLOCK_SPACES)
def test_points_of_a_shipped_space_are_counted_as_they_are_built(name):
    space = load_space(name)
    for seed in range(40):
        point, side = random_candidate(space, seed), SIDES[seed % len(SIDES)]
        assert_counted_as_built(point, side, in_chans=1 + 2 * (seed % 2), num_classes=2 + seed)


@pytest.mark.parametrize("builder", BLOCK_BUILDERS)
def test_points_of_an_odd_space_are_counted_as_they_are_built(builder):
    space = odd_space(builder)
    kinds = set()
    for seed in range(80):
        point, side = random_candidate(space, seed), SIDES[seed % len(SIDES)]
        kinds |= {value for key, value in point.architecture.items() if key.endswith(".block")}
        assert_counted_as_built(point, side, in_chans=1 + seed % 4, num_classes=1 + seed)
    assert kinds == {"ds", "ir", "er"}


@pytest.mark.parametrize("name", POINTS)
def test_published_networks_are_counted_as_they_are_built(name):
    _, point = published(name)
    for side, in_chans in ((224, 3), (29, 1), (32, 3)):
        assert_counted_as_built(point, side, in_chans=in_chans, num_classes=1000)


def test_one_block_counted_by_hand():
    counted = count_network(
        small(**{"stage0.depth": 1, "stage0.stride": 2, "stage0.se_ratio": 0.25}),
        image_size=9,
        in_chans=1,
        num_classes=3,
    )
    # 9 → 5 pixels a side in the stem, 5 → 3 in the block; 2 channels within the gate.
    stem, expand, filters, gate = 8 * 9, 8 * 16, 16 * 9, 2 * 16
    project, head, logits = 16 * 8, 8 * 16, 16 * 3
    biases, batch_norms = 2 + 16 + 3, 2 * (8 + 16 + 16 + 8 + 16)
    weights = stem + expand + filters + 2 * gate + project + head + logits
    assert counted == Counts(
        params=weights + biases + batch_norms,
        macs=25 * (stem + expand) + 9 * (filters + project + head) + 2 * gate + logits,
        activations=25 * (8 + 16) + 9 * (16 + 8 + 16) + 2 + 16 + 3,
        layers=8,
    )


def test_resolution_of_the_architecture_wins_over_the_size_of_the_data():
    shape = {"in_chans": 3, "num_classes": 10}
    without = count_network(small(), image_size=29, **shape)
    assert count_network(small(resolution=29), image_size=64, **shape) == without
    assert count_network(small(resolution=None), image_size=29, **shape) == without
    assert count_network(small(), image_size=64, **shape).macs > without.macs


@pytest.mark.parametrize("builder", BUILDERS.names())
def test_networks_that_are_not_made_of_values_are_unknown(builder):
    point = small(builder, model="resnet18", function="module:function")
    counted = count_network(point, image_size=32, in_chans=3, num_classes=10)
    assert (counted is not None) == (builder in BLOCK_BUILDERS)


@pytest.mark.parametrize("builder", BLOCK_BUILDERS)
@pytest.mark.parametrize(
    "changes",
    [
        {"stem_width": 0},
        {"stem_width": "wide"},
        {"head_width": 2.5},
        {"stage0.depth": 0},
        {"stage0.depth": -1},
        {"stage0.width": True},
        {"stage0.kernel": 4},
        {"stage0.stride": 3},
        {"stage0.block": "cn"},
        {"stage0.block": "nonsense"},
        {"stage0.expansion": 0},
        {"stage0.se_ratio": -0.25},
        {"stage0.activation": "nonsense"},
        {"final_width": 0},
    ],
    ids=str,
)
def test_values_that_make_no_network_are_refused_in_the_same_words(builder, changes):
    point = small(builder, **changes)
    with pytest.raises(SpaceError) as built:
        build_network(point, in_chans=1, num_classes=4)
    with pytest.raises(SpaceError) as counted:
        count_network(point, image_size=32, in_chans=1, num_classes=4)
    assert str(counted.value) == str(built.value)


@pytest.mark.parametrize("builder", BLOCK_BUILDERS)
@pytest.mark.parametrize(
    ("width", "expansion", "se_ratio"),
    [
        (49, 2.4, 0.05),  # 120 * (0.05 / 2.4) is above two and a half, 120 * 0.05 / 2.4 is not
        (13, 1, 0.25),  # 13 → 16 channels: the nearest multiple of 8
        (10, 1, 0.5),  # 10 → 16: 8 would be less than 90 %
        (1, 0.0000001, 0.0000001),  # both are 0 in the six digits of timm's strings
        (8, 2.0000004, 0.9999996),
    ],
)
def test_widths_are_rounded_as_timm_rounds_them(builder, width, expansion, se_ratio):
    values = {"stage0.expansion": expansion, "stage0.se_ratio": se_ratio}
    point = small(builder, stem_width=width, **values)
    assert_counted_as_built(point, 16, in_chans=3, num_classes=10)


def test_whole_numbers_may_be_written_as_floats():
    floats = {
        key: float(value) if isinstance(value, int) else value for key, value in SMALL.items()
    }
    point = small(**floats)
    assert_counted_as_built(point, 32, in_chans=3, num_classes=10)
    assert count_params(build_network(point, in_chans=3, num_classes=10)) == count_params(
        build_network(small(), in_chans=3, num_classes=10)
    )


def test_counting_loads_neither_torch_nor_timm():
    code = (
        "import sys\n"
        "from ecoautoml.models.arithmetic import count_network\n"
        "from ecoautoml.spaces import load_space\n"
        "from ecoautoml.spaces.random import random_candidate\n"
        "point = random_candidate(load_space('tiny'), 0)\n"
        "assert count_network(point, image_size=32, in_chans=3, num_classes=10).macs\n"
        "assert not {'torch', 'timm'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

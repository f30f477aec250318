import sys

import pytest
import timm
import torch
from huggingface_hub import constants
from timm.layers import DropPath
from torch import nn

from ecoautoml.errors import ConfigError, SpaceError
from ecoautoml.models.arch import arch_definition
from ecoautoml.models.build import BUILDERS, build_network
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.models.zoo import expand_timm_names
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces import decode, load_space

ARCHITECTURE = {
    "resolution": 16,
    "stem_width": 8,
    "stem_stride": 1,
    "activation": "relu",
    "head_width": 16,
    "stage0.block": "ds",
    "stage0.depth": 1,
    "stage0.kernel": 3,
    "stage0.width": 8,
    "stage1.depth": 2,
    "stage1.kernel": 5,
    "stage1.stride": 2,
    "stage1.width": 16,
    "stage1.block0.expansion": 4.5,
    "stage1.block1.expansion": 3,
    "stage1.se_ratio": 0.25,
    "stage1.activation": "hard_swish",
}


def point(builder="efficientnet", *, training=None, **values):
    return Candidate(
        space="s",
        builder=builder,
        architecture={**ARCHITECTURE, **values},
        hyperparameters=training or {},
    )


def build(candidate, **changes):
    return build_network(candidate, **{"in_chans": 1, "num_classes": 4, **changes})


def test_every_block_has_its_own_string():
    assert arch_definition({**ARCHITECTURE, "final_width": 32}) == [
        ["ds_r1_k3_s1_c8"],
        ["ir_r1_k5_s2_e4.5_c16_se0.25_nhs", "ir_r1_k5_s1_e3_c16_se0.25_nhs"],
        ["cn_r1_k1_s1_c32"],
    ]


def test_an_empty_stage_is_left_out():
    assert len(arch_definition({**ARCHITECTURE, "stage1.depth": 0})) == 1


def test_a_stage_may_share_its_expansion():
    values = {k: v for k, v in ARCHITECTURE.items() if "block" not in k}
    assert "_e2_" in arch_definition({**values, "stage0.expansion": 2, "stage1.expansion": 2})[1][1]


@pytest.mark.parametrize("builder", ["efficientnet", "mobilenet_v3"])
def test_strides_are_what_they_say(builder):
    """No stride becomes dilation, however many there are, and the stem may keep the size."""
    stage = {"depth": 1, "stride": 2, "kernel": 5, "width": 8, "expansion": 2}
    values = {f"stage{i}.{key}": value for i in range(2, 7) for key, value in stage.items()}
    network = build(point(builder, final_width=8, **values)).eval()
    sizes = []
    for stage in network.blocks:
        stage.register_forward_hook(lambda _m, _i, output: sizes.append(output.shape[-1]))
    assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 4)
    assert sizes[:7] == [64, 32, 16, 8, 4, 2, 1]
    assert all(m.dilation == (1, 1) for m in network.modules() if isinstance(m, nn.Conv2d))


def test_widths_are_not_rounded():
    assert build(point(**{"stage1.width": 13})).blocks[1][-1].conv_pwl.out_channels == 13


def test_rates_come_from_the_hyperparameters():
    network = build(point(training={"drop_path": 0.2, "dropout": 0.3}))
    rates = [m.drop_prob for m in network.modules() if isinstance(m, DropPath)]
    assert max(rates) > 0
    assert network.dropout.p == 0.3


def test_building_twice_gives_two_networks():
    first, second = build(point()), build(point())
    assert count_params(first) == count_params(second)
    assert not torch.equal(first.conv_stem.weight, second.conv_stem.weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem_width": 0}, "stem_width is 0; it must be an integer of at least 1"),
        ({"stage1.width": -8}, r"stage1\.width is -8"),
        ({"stage1.width": 8.5}, r"stage1\.width is 8\.5"),
        ({"stage1.kernel": 4}, r"stage1\.kernel is 4"),
        ({"stage1.block1.expansion": 0}, r"stage1\.expansion is 0"),
        ({"activation": "nonsense"}, "activation is 'nonsense'"),
        ({"stage1.activation": "nonsense"}, r"stage1\.activation is 'nonsense'; allowed: relu"),
        ({"stage0.depth": 0, "stage1.depth": 0}, "no stage with a depth above 0"),
        ({"head_width": "wide"}, "head_width is 'wide'"),
    ],
)
def test_values_that_make_no_network_are_named(changes, message):
    with pytest.raises(SpaceError, match=message):
        build(point(**changes))


def test_unknown_builder_lists_the_known_ones():
    with pytest.raises(ConfigError, match="did you mean 'efficientnet'"):
        build(point("efficient_net"))


@pytest.mark.parametrize("name", BUILDERS.names())
def test_builders_are_described(name):
    assert {entry.name: entry.description for entry in BUILDERS.entries()}[name]


def test_corners_of_the_tiny_space_have_the_promised_sizes():
    space = load_space("tiny")
    lowest = decode(space, lambda d: d.values[0] if d.values else d.middle)
    highest = decode(space, lambda d: d.values[-1] if d.values else d.middle)
    small, large = (build(corner, num_classes=10) for corner in (lowest, highest))
    assert count_params(small) < 5_000 < 250_000 < count_params(large) < 400_000
    assert count_macs(large, (1, 1, 28, 28)) < 8_000_000
    for network in (small, large):
        for side in (8, 32):
            assert network.eval()(torch.zeros(1, 1, side, side)).shape == (1, 10)


# --- timm ---------------------------------------------------------------------------------------


def zoo_point(model, **values):
    architecture = {"model": model, "pretrained": False, "resolution": 32, **values}
    return Candidate(space="s", builder="timm", architecture=architecture, hyperparameters={})


def test_timm_network_has_the_classifier_of_the_task():
    network = build(zoo_point("mobilenetv3_small_050")).eval()
    assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 4)


def test_timm_patterns_are_expanded_in_order_and_once():
    names = expand_timm_names(["resnet18", "mobilenetv4_conv_*", "resnet*18"])
    assert names[0] == "resnet18"
    assert "mobilenetv4_conv_small" in names
    assert len(set(names)) == len(names)
    assert expand_timm_names(load_space("timm_zoo").dimension("model").values)


def test_unknown_timm_names_are_refused():
    with pytest.raises(SpaceError, match=r"no model 'resnet1818'; near are .*resnet18"):
        build(zoo_point("resnet1818"))
    with pytest.raises(SpaceError, match="matches 'nothing"):
        expand_timm_names(["nothing_*"])


def test_pretrained_without_published_weights_is_refused():
    bare = next(m for m in timm.list_models("vit_*") if not timm.get_pretrained_cfg(m).has_weights)
    with pytest.raises(SpaceError, match=f"no published weights for {bare}; set pretrained: false"):
        build(zoo_point(bare, pretrained=True))


def test_pretrained_without_a_network_says_so_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SpaceError, match=r"of resnet18 .*cannot be reached.*pretrained: false"):
        build(zoo_point("resnet18", pretrained=True))


# --- python -------------------------------------------------------------------------------------

SOURCE = """
from torch import nn

def make(values, in_chans, num_classes):
    layers = [nn.Flatten(), nn.LazyLinear(values["width"]), nn.Linear(values["width"], num_classes)]
    return nn.Sequential(*layers)

def wrong(values, in_chans, num_classes):
    return values["widht"]

def nothing(values, in_chans, num_classes):
    return None
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_networks"
    sys.modules.pop("own_networks", None)


def own_point(function):
    values = {"function": function, "width": 8, "resolution": 8}
    return Candidate(space="s", builder="python", architecture=values, hyperparameters={})


def test_own_function_is_called_with_the_values(own_module):
    network = build(own_point(f"{own_module}:make"))
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("own_networks:wrong", "own_networks:wrong failed with KeyError: 'widht'"),
        ("own_networks:nothing", "returned NoneType, not a torch nn.Module"),
        ("own_networks:absent", "has no function 'absent'"),
        ("no_such_module:make", "'no_such_module' cannot be imported .*PYTHONPATH"),
        ("own_networks.make", "write it as 'module:function'"),
    ],
)
def test_own_function_mistakes_are_one_sentence(own_module, function, message):
    with pytest.raises(SpaceError, match=message) as caught:
        build(own_point(function))
    assert "\n" not in str(caught.value)

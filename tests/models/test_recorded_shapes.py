"""Pruned networks of every space come back from their folder as they were."""

import json

import pytest
import torch
from compressing import CANDIDATES, CLASSES, build, context, images
from torch import nn

from ecoautoml.compression.pipeline import compress
from ecoautoml.errors import RunError
from ecoautoml.models.checkpoint import load_checkpoint, read_meta, save_checkpoint
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.models.deployable import Deployable
from ecoautoml.models.shapes import differing_shapes, recorded_shapes, shaped_like
from ecoautoml.records.candidate import Candidate

META = {"in_chans": 3, "num_classes": CLASSES}


def deployable(network):
    return Deployable(network, mean=[0.5] * 3, std=[0.25] * 3).eval()


def assert_comes_back(folder, candidate, network):
    model = deployable(network)
    save_checkpoint(folder, candidate, model, META)
    loaded = load_checkpoint(folder)
    with torch.no_grad():
        assert torch.equal(loaded(images()[0]), model(images()[0]))
    assert recorded_shapes(loaded) == recorded_shapes(model)
    assert count_params(loaded) == count_params(model)
    assert count_macs(loaded, (1, 3, 32, 32)) == count_macs(model, (1, 3, 32, 32))


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_pruned_network_comes_back(name, tmp_path):
    network = build(CANDIDATES[name])
    compress(network, context(prune="magnitude", prune_ratio=0.55, prune_round=1))
    assert_comes_back(tmp_path, CANDIDATES[name], network)
    assert read_meta(tmp_path)["shapes"]


@pytest.mark.parametrize("name", ["regnety_004", "convnext_atto"])
def test_networks_of_other_kinds_come_back_or_say_that_they_do_not(name, tmp_path):
    values = {"model": name, "resolution": 32, "pretrained": False}
    candidate = Candidate(space="s", builder="timm", architecture=values, hyperparameters={})
    network = build(candidate)
    compress(network, context(prune="magnitude", prune_ratio=0.3))
    save_checkpoint(tmp_path, candidate, deployable(network), META)
    if "rebuild" in read_meta(tmp_path):
        with pytest.raises(RunError, match="exists only as the exported file"):
            load_checkpoint(tmp_path)
    else:
        assert_comes_back(tmp_path, candidate, network)


def test_a_network_that_was_not_pruned_has_no_shapes(tmp_path):
    candidate = CANDIDATES["tiny-0"]
    assert_comes_back(tmp_path, candidate, build(candidate))
    assert not {"shapes", "rebuild"} & read_meta(tmp_path).keys()


def test_saving_leaves_chance_alone(tmp_path):
    candidate = CANDIDATES["tiny-0"]
    model = deployable(build(candidate))
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    save_checkpoint(tmp_path, candidate, model, META)
    assert torch.equal(torch.rand(3), expected)


def test_only_layers_that_differ_are_recorded():
    network, fresh = build(CANDIDATES["resnet18"]), build(CANDIDATES["resnet18"])
    compress(network, context(prune="magnitude", prune_ratio=0.5, prune_scope="local"))
    shapes = differing_shapes(network, fresh)
    assert shapes["fc"] == {"in_features": 256, "out_features": CLASSES}
    again = differing_shapes(network, build(CANDIDATES["resnet18"]))
    assert again == shapes
    assert json.loads(json.dumps(shapes)) == shapes


def test_every_kind_of_layer_gets_its_widths():
    def made(c, d):
        return nn.Sequential(
            nn.Conv2d(3, c, 3),
            nn.Conv2d(c, c, 3, groups=c),
            nn.BatchNorm2d(c),
            nn.ConvTranspose2d(c, d, 2),
            nn.GroupNorm(2, d),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.LayerNorm(d),
            nn.Linear(d, 5),
        )

    wanted, other = made(6, 8).eval(), made(10, 4).eval()
    shaped_like(other, recorded_shapes(wanted))
    other.load_state_dict(wanted.state_dict())
    pictures = torch.randn(2, 3, 8, 8)
    assert torch.equal(other(pictures), wanted(pictures))
    assert all(parameter.requires_grad for parameter in other.parameters())


def test_a_network_with_other_modules_exists_only_as_its_file(tmp_path):
    candidate = CANDIDATES["tiny-0"]
    network = build(candidate)
    network.conv_head = nn.Sequential(
        nn.Conv2d(network.conv_head.in_channels, 4, 1, bias=False),
        nn.Conv2d(4, network.conv_head.out_channels, 1, bias=False),
    )
    save_checkpoint(tmp_path, candidate, deployable(network), META)
    assert read_meta(tmp_path)["rebuild"] is None
    with pytest.raises(RunError, match="exists only as the exported file"):
        load_checkpoint(tmp_path)


def test_shapes_of_another_network_are_refused(tmp_path):
    candidate = CANDIDATES["tiny-0"]
    save_checkpoint(tmp_path, candidate, deployable(build(candidate)), META)
    path = tmp_path / "candidate.json"
    tree = json.loads(path.read_text())
    for wrong in ({"gone": {"num_features": 3}}, {"conv_stem": {"num_features": 3}}):
        path.write_text(json.dumps(tree | {"shapes": wrong}))
        with pytest.raises(RunError, match="the recorded shapes name a layer"):
            load_checkpoint(tmp_path)

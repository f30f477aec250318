import json

import pytest
import torch
from torch import nn

from ecoautoml.errors import RunError, SpaceError
from ecoautoml.models.build import build_network
from ecoautoml.models.checkpoint import load_checkpoint, read_meta, save_checkpoint
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.models.deployable import Deployable
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces import decode, load_space

META = {"in_chans": 1, "num_classes": 3, "class_names": ["a", "b", "ç"], "resolution": 16}


def trained(candidate):
    """Return a model whose batch statistics have moved."""
    network = build_network(candidate, in_chans=1, num_classes=3)
    network(torch.randn(8, 1, 16, 16))
    return Deployable(network, mean=[0.3], std=[0.2]).eval()


@pytest.fixture
def candidate():
    return decode(load_space("tiny"), lambda d: d.values[0] if d.values else d.middle)


def test_deployable_takes_raw_pixels():
    network = nn.Identity()
    model = Deployable(network, mean=[0.5, 0.25, 0.0], std=[0.5, 0.25, 1.0])
    pixels = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, std = torch.tensor([0.5, 0.25, 0.0]), torch.tensor([0.5, 0.25, 1.0])
    expected = (pixels.float() / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    torch.testing.assert_close(model(pixels), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(model(pixels), model(pixels.float()))


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.0]), ([0.5], [1.0, 1.0])])
def test_deployable_refuses_what_is_no_normalisation(mean, std):
    with pytest.raises(ValueError, match="do not make a normalisation"):
        Deployable(nn.Identity(), mean=mean, std=std)


def test_checkpoint_comes_back_the_same(tmp_path, candidate):
    model = trained(candidate)
    save_checkpoint(tmp_path / "m", candidate, model, META)
    loaded = load_checkpoint(tmp_path / "m")
    pixels = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded(pixels), model(pixels))
    assert not any(part.training for part in loaded.modules())


def test_checkpoint_says_what_it_is(tmp_path, candidate):
    save_checkpoint(tmp_path, candidate, trained(candidate), META)
    meta = read_meta(tmp_path)
    assert meta["class_names"] == ["a", "b", "ç"]
    assert meta["builder"] == "efficientnet"
    assert meta["mean"] == pytest.approx([0.3])
    assert meta["versions"]["torch"]
    assert Candidate(**meta["candidate"]).key() == candidate.key()


def test_checkpoint_needs_the_shape_of_the_task(tmp_path, candidate):
    with pytest.raises(ValueError, match="num_classes"):
        save_checkpoint(tmp_path, candidate, trained(candidate), {"in_chans": 1})


def test_what_is_no_checkpoint_is_refused_in_a_sentence(tmp_path, candidate):
    with pytest.raises(RunError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "absent")
    (tmp_path / "candidate.json").write_text("{")
    with pytest.raises(RunError, match="not JSON"):
        load_checkpoint(tmp_path)
    (tmp_path / "candidate.json").write_text("{}")
    with pytest.raises(RunError, match="not a checkpoint's file"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, candidate, trained(candidate), META)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(RunError, match="weights cannot be loaded"):
        load_checkpoint(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path, candidate):
    save_checkpoint(tmp_path, candidate, trained(candidate), META)
    path = tmp_path / "candidate.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_classes": 7}))
    with pytest.raises(RunError, match="weights cannot be loaded"):
        load_checkpoint(tmp_path)


def test_pretrained_models_are_loaded_without_a_download(tmp_path):
    values = {"model": "test_efficientnet", "pretrained": False, "resolution": 16}
    made = Candidate(space="s", builder="timm", architecture=values, hyperparameters={})
    save_checkpoint(tmp_path, made, trained(made), META)
    path = tmp_path / "candidate.json"
    tree = json.loads(path.read_text())
    tree["candidate"]["architecture"]["pretrained"] = True
    path.write_text(json.dumps(tree))
    assert isinstance(load_checkpoint(tmp_path), Deployable)


def test_a_function_that_cannot_be_imported_is_named(tmp_path, candidate):
    save_checkpoint(tmp_path, candidate, trained(candidate), META)
    path = tmp_path / "candidate.json"
    tree = json.loads(path.read_text())
    tree["candidate"] |= {"builder": "python", "architecture": {"function": "gone_module:make"}}
    path.write_text(json.dumps(tree))
    with pytest.raises(SpaceError, match="'gone_module' cannot be imported"):
        load_checkpoint(tmp_path)


def test_costs_of_a_network_counted_by_hand():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(128, 2),
    )
    assert count_params(network) == 3 * 8 * 9 + 2 * 8 + 128 * 2 + 2
    assert count_macs(network, (1, 3, 4, 4)) == 16 * 3 * 8 * 9 + 128 * 2


def test_counting_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    network[0].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count_macs(network, (1, 1, 4, 4))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert (network[0].training, network[1].training, network.training) == (False, True, True)

"""Published networks are points of the shipped spaces, and so are all points around them."""

import pytest
import timm
import torch
from published_networks import POINTS, published
from torch import nn

from ecoautoml.models.build import build_network
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces import neighbours


@pytest.mark.parametrize("name", POINTS)
def test_point_is_the_published_network(name):
    _, point = published(name)
    ours = build_network(point, in_chans=3, num_classes=1000).eval()
    theirs = timm.create_model(name).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))
    assert count_params(ours) == count_params(theirs)
    assert count_macs(ours, (1, 3, 64, 64)) == count_macs(theirs, (1, 3, 64, 64)) > 1e6


@pytest.mark.parametrize("name", POINTS)
def test_point_is_built_without_asking_timm_for_the_network(name, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("timm was asked for a whole network")

    # what timm.create_model looks names up with, by whichever way it was imported
    monkeypatch.setattr(timm.models._factory, "model_entrypoint", refuse)
    with pytest.raises(AssertionError, match="asked for a whole network"):
        timm.create_model(name)
    _, point = published(name)
    assert count_params(build_network(point, in_chans=3, num_classes=1000)) > 1e6


@pytest.mark.parametrize("name", POINTS)
def test_point_uses_ordinary_dimensions_only(name):
    space, point = published(name)
    assert point.builder in ("mobilenet_v3", "efficientnet")
    for dimension_name, value in point.architecture.items():
        dimension = space.dimension(dimension_name)
        assert value in dimension.values
        assert isinstance(value, int | float) or dimension_name.endswith(("activation", "block"))


@pytest.mark.parametrize("name", POINTS)
def test_every_neighbour_builds_and_runs(name):
    space, point = published(name)
    around = neighbours(space, point)
    assert len(around) > 60
    assert len({other.key() for other in around} | {point.key()}) == len(around) + 1
    image = torch.randn(1, 3, 32, 32)
    for other in around:
        network = without_random_weights(other)
        with torch.no_grad():
            assert network.eval()(image).shape == (1, 10), other


def without_random_weights(point: Candidate) -> nn.Module:
    """Build without drawing weights, which would take most of the time; then fill with ones."""
    with torch.device("meta"):
        network = build_network(point, in_chans=3, num_classes=10)
    network.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(1)
    return network

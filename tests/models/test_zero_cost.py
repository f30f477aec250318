"""A score of an untrained network, which leaves the network as it is."""

import math

import pytest
import torch
from torch import nn

from ecoautoml.models.build import build_network
from ecoautoml.models.zero_cost import synflow
from ecoautoml.spaces import candidate, load_space


def network(space, **changes):
    space = load_space(space)
    values = {one.name: one.middle for one in space.parameters}
    torch.manual_seed(0)
    return build_network(candidate(space, {**values, **changes}), in_chans=1, num_classes=10)


def test_of_two_linear_layers_it_is_what_can_be_worked_out_by_hand():
    plain = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        plain[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 1.0], [3.0, -1.0]]))
        plain[1].weight.copy_(torch.tensor([[2.0, 1.0, -1.0]]))
    flow = 2 * 3 + 1 * 1 + 1 * 4
    assert synflow(plain, (1, 2)) == pytest.approx(2 * flow)  # every layer passes all of it on


@pytest.mark.parametrize("space", ["tiny", "efficientnet", "mobilenet_v3"])
def test_it_tells_networks_apart_and_is_the_same_each_time(space):
    one, wide = network(space), network(space, stem_width=8)
    assert 0 < synflow(one, (1, 1, 32, 32)) < math.inf
    assert synflow(one, (1, 1, 32, 32)) == synflow(one, (1, 1, 32, 32))
    assert synflow(one, (1, 1, 32, 32)) != synflow(wide, (1, 1, 32, 32))


def test_the_network_is_left_as_it_is():
    one = network("tiny").train()
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    synflow(one, (1, 1, 16, 16))
    assert one.training
    assert all(weight.grad is None for weight in one.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in one.state_dict().items())


def test_a_network_through_which_nothing_flows_has_none():
    dead = nn.Linear(4, 2, bias=False)
    nn.init.zeros_(dead.weight)
    assert synflow(dead, (1, 4)) is None


class Single(nn.Module):
    """Insists on its own precision."""

    def forward(self, image):
        return image.double() @ torch.ones(4, 2)


def test_a_network_that_cannot_be_run_for_it_has_none():
    assert synflow(Single(), (1, 4)) is None

import sys
from dataclasses import replace

import pytest
import torch
from compressing import CANDIDATES, build, context, small
from torch import nn

from ecoautoml.compression.pipeline import compress
from ecoautoml.errors import MissingExtraError, TrialError
from ecoautoml.models.cost import count_params


def widths(network):
    return {
        name: part.out_channels
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d)
    }


def pair():
    """Return two convolutions; the norms of the first one's channels are 1, 2, ... 8."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 8, 1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    with torch.no_grad():
        network[0].weight[:] = torch.arange(1, 9).view(8, 1, 1, 1).float() / 10
        network[2].weight.fill_(0.1)
    return network


@pytest.mark.parametrize("criterion", ["magnitude", "taylor", "bn_scale"])
@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("name", ["tiny-0", "mobilenet_v3-0", "efficientnet-0", "resnet18"])
def test_every_criterion_halves_every_kind_of_network(name, criterion, scope):
    network = build(CANDIDATES[name])
    before = count_params(network)
    values = {"prune": criterion, "prune_ratio": 0.5, "prune_scope": scope}
    compress(network, context(**values))
    assert 0.15 < count_params(network) / before < 0.6
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_smallest_channels_go_and_the_others_stay():
    network = pair()
    compress(network, context(prune="magnitude", prune_ratio=0.5, prune_scope="local"))
    kept = network[0].weight[:, 0, 0, 0].detach()
    torch.testing.assert_close(kept, torch.tensor([0.5, 0.6, 0.7, 0.8]))
    assert network[5].out_features == 5


def test_taylor_keeps_what_the_loss_depends_on():
    network = pair()
    with torch.no_grad():
        network[2].weight[:, 4:] = 0  # the largest channels now matter to nobody
    compress(network, context(prune="taylor", prune_ratio=0.5, prune_scope="local"))
    assert set(network[0].weight[:, 0, 0, 0].tolist()) == set(
        torch.tensor([0.1, 0.2, 0.3, 0.4]).tolist()
    )


def test_widths_are_multiples_and_no_layer_is_emptied():
    network = small()
    before = widths(network)
    compress(network, context(prune="magnitude", prune_ratio=0.95, prune_round=8))
    after = widths(network)
    assert all(after[name] >= min(before[name], 8) for name in before)
    changed = [name for name in before if after[name] != before[name]]
    assert len(changed) > len(before) / 2
    assert all(after[name] % 8 == 0 for name in changed)


def test_equal_importances_are_pruned_too():
    network = small()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
    before = count_params(network)
    compress(network, context(prune="bn_scale", prune_ratio=0.5))
    assert count_params(network) < 0.6 * before


def test_epochs_are_split_over_the_steps():
    told, sizes = [], []

    def tune(network, epochs, loss):
        assert loss is None
        told.append(epochs)
        sizes.append(count_params(network))

    values = {"prune": "magnitude", "prune_ratio": 0.6, "prune_steps": 3, "finetune_epochs": 7}
    compress(small(), context(tune=tune, **values))
    assert len(told) == 3
    assert sum(told) == 7
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_statistics_and_mode_stay_as_they_were():
    network = small().train()
    network.bn1.eval()
    before = network.bn1.running_mean.clone()
    compress(network, context(prune="taylor", prune_ratio=0.3, prune_scope="local"))
    assert network.training
    assert not network.bn1.training
    assert set(network.bn1.running_mean.tolist()) <= set(before.tolist())


def test_a_network_without_scales_is_told_so():
    with pytest.raises(TrialError, match="no batch normalisation"):
        compress(pair(), context(prune="bn_scale", prune_ratio=0.5))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"prune_ratio": 1.0}, "prune_ratio is 1.0; it must be above 0 and below 1"),
        ({}, "prune_ratio is missing"),
        ({"prune_ratio": "half"}, "prune_ratio is 'half'; it must be a number"),
        ({"prune_ratio": 0.5, "prune_steps": 0}, "prune_steps is 0; it must be at least 1"),
        ({"prune_ratio": 0.5, "prune_round": 2.5}, "it must be a whole number"),
        ({"prune_ratio": 0.5, "prune_scope": "all"}, "allowed: global, local"),
        ({"prune": "random"}, "allowed: none, magnitude, taylor, bn_scale"),
    ],
)
def test_wrong_values_are_named(values, reason):
    with pytest.raises(TrialError, match=reason):
        compress(pair(), context(**{"prune": "magnitude", **values}))


class Unseen(nn.Module):
    """Shuffles channels in a way nobody can follow, so pruning would leave it broken."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Linear(8, 5)

    def forward(self, image_bchw):
        pooled = self.first(image_bchw).mean((2, 3))
        if pooled.shape[1] != 8:
            raise ValueError("eight channels, please")
        return self.last(pooled)


class Untraceable(nn.Module):
    """Leaves autograd, by which channels are followed."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 5)

    def forward(self, image_bchw):
        with torch.no_grad():
            return self.last(image_bchw.mean((2, 3)))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Unseen(), "prune left a network that does not run: eight channels, please"),
        (Untraceable(), "torch-pruning finds no channels in Untraceable that could go"),
    ],
    ids=["unseen", "untraceable"],
)
def test_a_network_that_cannot_be_followed_is_told_so(network, reason):
    with pytest.raises(TrialError, match=reason):
        compress(network, context(prune="magnitude", prune_ratio=0.5))


def test_without_the_library_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ecoautoml\[compression\]'"):
        compress(pair(), context(prune="magnitude", prune_ratio=0.5))


def test_taylor_without_images_is_told_so():
    given = replace(context(prune="taylor", prune_ratio=0.5), batches=list)
    with pytest.raises(TrialError, match="at least one batch"):
        compress(pair(), given)

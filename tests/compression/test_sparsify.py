import pytest
import torch
from compressing import CANDIDATES, build, context, small
from torch import nn

from ecoautoml.compression.layers import layers_in_order
from ecoautoml.compression.pipeline import compress
from ecoautoml.errors import TrialError


def inner(network):
    return layers_in_order(network, context().example)[1:-1]


@pytest.mark.parametrize("epochs", [0, 3])
@pytest.mark.parametrize("name", ["tiny-0", "mobilenet_v3-0", "efficientnet-0", "resnet18"])
def test_the_share_of_zeros_is_the_one_asked_for(name, epochs):
    network = build(CANDIDATES[name])
    first = layers_in_order(network, context().example)[0].weight.clone()
    compress(network, context(sparsity="unstructured", sparsity_ratio=0.7, sparsity_epochs=epochs))
    weights = torch.cat([layer.weight.flatten() for layer in inner(network)])
    assert float((weights == 0).double().mean()) == pytest.approx(0.7, abs=0.001)
    met = layers_in_order(network, context().example)
    assert (met[0].weight != 0).all()
    assert (met[-1].weight != 0).all()
    assert torch.equal(met[0].weight, first) == (epochs == 0)  # it was trained, not masked


def test_the_smallest_weights_go():
    network = small()
    before = torch.cat([layer.weight.flatten() for layer in inner(network)]).abs().detach()
    compress(network, context(sparsity="unstructured", sparsity_ratio=0.5))
    after = torch.cat([layer.weight.flatten() for layer in inner(network)]).detach()
    assert float(before[after == 0].max()) <= float(before[after != 0].min())


@pytest.mark.parametrize("epochs", [0, 3])
@pytest.mark.parametrize("name", ["tiny-0", "mobilenetv2_050", "resnet18"])
def test_two_of_every_four_inputs_stay(name, epochs):
    network = build(CANDIDATES[name])
    before = {layer: layer.weight.detach().clone() for layer in inner(network)}
    compress(network, context(sparsity="2:4", sparsity_epochs=epochs))
    met = 0
    for layer, old in before.items():
        weight = layer.weight.detach()
        if weight.shape[1] % 4:
            assert (weight != 0).any()
            continue
        met += 1
        fours = weight.movedim(1, -1).reshape(-1, 4)
        assert ((fours != 0).sum(1) == 2).all()
        olds = old.movedim(1, -1).reshape(-1, 4).abs()
        kept = olds.masked_fill(fours == 0, torch.inf).amin(1)
        assert (olds.masked_fill(fours != 0, 0).amax(1) <= kept).all()
    assert met > 1


def test_gradients_see_the_zeros_at_every_step():
    def tune(network, epochs, loss):
        for _ in range(2):
            with torch.no_grad():
                for layer in inner(network):
                    layer.weight.add_(1.0)
            network(context().example)
            shares = [(layer.weight == 0).double().mean() for layer in inner(network)]
            assert float(torch.stack(shares).max()) > 0.3

    values = {"sparsity": "unstructured", "sparsity_ratio": 0.5, "sparsity_epochs": 1}
    network = compress(small(), context(tune=tune, **values))
    assert all(not part._forward_pre_hooks for part in network.modules())


def test_a_network_without_inner_layers_is_told_so():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    for values in ({"sparsity": "2:4"}, {"sparsity": "unstructured", "sparsity_ratio": 0.5}):
        with pytest.raises(TrialError, match="no layer between the first and the classifier"):
            compress(network, context(**values))


def test_wrong_values_are_named():
    with pytest.raises(TrialError, match="sparsity_ratio is missing"):
        compress(small(), context(sparsity="unstructured"))
    with pytest.raises(TrialError, match="allowed: none, unstructured, 2:4"):
        compress(small(), context(sparsity="1:4"))

"""What every registered compression step promises, alone and in every legal chain."""

import copy
import subprocess
import sys

import pytest
import torch
from compressing import CANDIDATES, CLASSES, build, context, images

from ecoautoml.compression import STEPS
from ecoautoml.compression.base import CompressionStep
from ecoautoml.compression.pipeline import compress, legal_chains, steps_for
from ecoautoml.models.checkpoint import load_checkpoint, save_checkpoint
from ecoautoml.models.cost import count_params
from ecoautoml.models.deployable import Deployable

ASKING = {
    "prune": {"prune": "magnitude", "prune_ratio": 0.4, "finetune_epochs": 1},
    "distil": {"distil": "logits", "distil_epochs": 1},
    "sparsify": {"sparsity": "unstructured", "sparsity_ratio": 0.5, "sparsity_epochs": 1},
}
KNOWN = [chain for chain in legal_chains() if set(chain) <= set(ASKING)]
NETWORKS = ("tiny-0", "mobilenet_v3-1", "efficientnet-2", "mobilenetv3_small_050")
META = {"in_chans": 3, "num_classes": CLASSES}


def asking(chain):
    return {name: value for step in chain for name, value in ASKING[step].items()}


@pytest.mark.parametrize("name", STEPS.names())
def test_a_step_says_what_it_is(name):
    step = STEPS.get(name)()
    assert isinstance(step, CompressionStep)
    assert step.name == name
    assert step.keys
    assert name not in step.after
    assert not step.is_asked({})
    assert not step.is_asked({"method": "none"})


def test_the_shipped_steps_make_these_chains():
    assert set(ASKING) <= set(STEPS.names())
    assert {
        ("prune",),
        ("distil",),
        ("sparsify",),
        ("prune", "distil"),
        ("prune", "sparsify"),
        ("distil", "sparsify"),
        ("prune", "distil", "sparsify"),
    } == set(KNOWN)


def test_the_steps_are_listed_without_torch():
    code = "import ecoautoml.compression, sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("chain", KNOWN, ids="+".join)
def test_a_chain_makes_a_working_network(chain, network_name, tmp_path):
    candidate, values = CANDIDATES[network_name], asking(chain)
    assert tuple(step.name for step in steps_for(values)) == chain
    network = build(candidate)
    teacher, before = copy.deepcopy(network), count_params(network)
    pictures, labels = images()
    network = compress(network, context(teacher=teacher, **values))

    assert count_params(network) < before if "prune" in chain else count_params(network) == before
    weights = torch.cat([w.flatten() for w in network.state_dict().values()])
    assert (float((weights == 0).double().mean()) > 0.2) == ("sparsify" in chain)
    assert not network.training
    assert all(
        not part._forward_hooks and not part._forward_pre_hooks for part in network.modules()
    )

    model = Deployable(network, mean=[0.5] * 3, std=[0.25] * 3).eval()
    save_checkpoint(tmp_path, candidate, model, META)
    loaded = load_checkpoint(tmp_path)
    with torch.no_grad():
        logits = model(pictures)
        assert logits.shape == (len(pictures), CLASSES)
        assert torch.isfinite(logits).all()
        assert torch.equal(loaded(pictures), logits)

    network.train()
    network.zero_grad()
    torch.nn.functional.cross_entropy(network(pictures), labels).backward()
    grads = [parameter.grad for parameter in network.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)
    assert sum(float(grad.abs().sum()) for grad in grads) > 0

"""A step that another package adds: the worked example."""

import sys
import tomllib
from pathlib import Path

import pytest
import torch
from compressing import CANDIDATES, CLASSES, build, context, images
from torch import nn

from ecoautoml.compression import STEPS
from ecoautoml.compression.pipeline import compress, legal_chains, steps_for
from ecoautoml.errors import RunError, TrialError
from ecoautoml.models.checkpoint import load_checkpoint, save_checkpoint
from ecoautoml.models.cost import count_params
from ecoautoml.models.deployable import Deployable

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin_compression"


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """Install the example as pip would: its module and its entry points on the path."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / "ecoautoml_low_rank-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "site" / "low_rank.py").write_text((EXAMPLE / "low_rank.py").read_text())
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield
    sys.modules.pop("low_rank", None)


def of_rank(rank, n_out, n_in):
    return torch.randn(n_out, rank) @ torch.randn(rank, n_in)


def test_it_is_one_of_the_steps_and_keeps_its_place():
    assert "low_rank" in STEPS.names()
    assert ("prune", "distil", "low_rank") in legal_chains()
    assert not any({"sparsify", "low_rank"} <= set(chain) for chain in legal_chains())
    with pytest.raises(TrialError, match="cannot be combined"):
        steps_for({"low_rank": True, "sparsity": "2:4"})


def test_layers_of_low_rank_become_factors_that_compute_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.Conv2d(32, 32, 1, stride=2),
        nn.Conv2d(32, 32, 1, groups=32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 64),
        nn.Linear(64, 64),
        nn.Linear(64, CLASSES),
    ).eval()
    with torch.no_grad():
        network[1].weight.copy_(of_rank(4, 32, 32)[:, :, None, None])
        network[5].weight.copy_(of_rank(3, 64, 32))
        network[6].weight.copy_(torch.eye(64))  # of full rank: factors would be larger
        expected, before = network(images()[0]), count_params(network)
    network = compress(network, context(low_rank=True, low_rank_energy=1.0))
    torch.testing.assert_close(network(images()[0]), expected, rtol=1e-3, atol=1e-3)
    factored = [name for name, part in network.named_children() if isinstance(part, nn.Sequential)]
    assert factored == ["1", "5"]
    saved = (32 * 32 - 4 * (32 + 32)) + (64 * 32 - 3 * (64 + 32))
    assert count_params(network) == before - saved


@pytest.mark.parametrize("name", ["tiny-0", "mobilenet_v3-0", "efficientnet-0", "resnet18"])
def test_less_energy_is_smaller_and_it_learns_on(name):
    sizes = []
    for energy in (0.9, 0.5):
        network = build(CANDIDATES[name])
        before = count_params(network)
        compress(network, context(low_rank=True, low_rank_energy=energy))
        sizes.append(count_params(network))
    assert sizes[1] < sizes[0] <= before
    pictures, labels = images()
    nn.functional.cross_entropy(network(pictures), labels).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_it_works_on_what_was_pruned_and_is_kept_as_its_file_only(tmp_path):
    candidate = CANDIDATES["efficientnet-0"]
    network = build(candidate)
    values = {"prune": "magnitude", "prune_ratio": 0.5, "low_rank": True, "low_rank_energy": 0.5}
    compress(network, context(**values))
    model = Deployable(network, mean=[0.5] * 3, std=[0.25] * 3).eval()
    save_checkpoint(tmp_path / "m", candidate, model, {"in_chans": 3, "num_classes": CLASSES})
    with pytest.raises(RunError, match="exists only as the exported file"):
        load_checkpoint(tmp_path / "m")


def test_a_share_that_is_none_is_refused():
    with pytest.raises(TrialError, match=r"low_rank_energy is 1\.5"):
        compress(build(CANDIDATES["tiny-0"]), context(low_rank=True, low_rank_energy=1.5))

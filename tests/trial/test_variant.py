"""Trials that take another's trained network, and what is done to it before it is exported."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from spaces_for_tests import net_space
from trials_in_process import answering, job_for, trial_parts

from ecoautoml.models.checkpoint import load_checkpoint
from ecoautoml.records.trial_result import TrialState
from ecoautoml.runtimes.onnx_runtime import OnnxRuntime
from ecoautoml.spaces.dimensions import candidate
from ecoautoml.spaces.load import load_space
from ecoautoml.trial.compressing import trained_folder
from ecoautoml.trial.evaluate import session_logits
from ecoautoml.trial.run import run_trial

SPACE = load_space(
    {
        **net_space(width=32),
        "hyperparameters": {"learning_rate": 0.01, "batch_size": 32},
        "compression": {
            "prune": ["none", "magnitude"],
            "prune_ratio": [0.5],
            "finetune_epochs": [0, 1],
            "distil": ["none", "logits"],
            "distil_teacher": ["parent", "best", "nowhere"],
            "quantize": ["none", "int8"],
        },
        "runtime": {"runtime": "onnxruntime"},
    }
)
PLAIN = {
    "prune": "none",
    "distil": "none",
    "quantize": "none",
}


def of(**values):
    more = {"finetune_epochs": 0, "distil_teacher": "parent"}
    return candidate(SPACE, {**PLAIN, **more, **values})


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return trial_parts(tmp_path_factory.mktemp("variants"))


@pytest.fixture(scope="module")
def parent(parts):
    result = run_trial(job_for(of(), epochs=6), parts, answering())
    assert result.state is TrialState.COMPLETE
    return result


def variant(parts, number, teacher=None, **values):
    job = job_for(of(**values), epochs=6, parent=0, teacher=teacher)
    return run_trial(replace(job, number=number), parts, answering())


def weights(parts, number):
    return load_file(parts.models_folder / f"trial_{number:04d}" / "model.safetensors")


def test_a_quantised_variant_has_its_parents_weights_and_trains_nothing(parts, parent):
    result = variant(parts, 1, quantize="int8")
    assert result.state is TrialState.COMPLETE, result.details
    assert result.parent == 0
    assert "training" not in {line.line for line in result.energy}
    ours, theirs = weights(parts, 1), weights(parts, 0)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert result.metrics["params"] == parent.metrics["params"]
    near = parent.metrics["validation_accuracy"] - result.metrics["validation_accuracy"]
    assert abs(near) < 0.1


def test_a_pruned_variant_is_smaller_and_its_checkpoint_is_the_exported_model(parts, parent):
    result = variant(parts, 2, prune="magnitude", finetune_epochs=1)
    assert result.state is TrialState.COMPLETE, result.details
    assert result.metrics["params"] < 0.7 * parent.metrics["params"]
    assert result.metrics["macs"] < parent.metrics["macs"]
    assert result.metrics["size_bytes"] < parent.metrics["size_bytes"]
    assert result.metrics["training_energy_j"] > 0
    module = load_checkpoint(parts.models_folder / "trial_0002")
    images = parts.images.get("validation", 8)
    with OnnxRuntime().load(parts.models_folder / "trial_0002" / "model.onnx") as session:
        exported = session_logits(session, images)
    with torch.inference_mode():
        original = module(images.images_nchw).numpy()
    np.testing.assert_allclose(exported, original, atol=1e-3)


def test_pruning_leaves_the_parents_network_alone(parts, parent):
    before = weights(parts, 0)
    variant(parts, 3, prune="magnitude")
    after = weights(parts, 0)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("teacher", ["parent", "best"])
def test_a_pruned_network_learns_from_a_teacher(parts, parent, teacher):
    result = variant(
        parts, 4, teacher=0, prune="magnitude", distil="logits", distil_teacher=teacher
    )
    assert result.state is TrialState.COMPLETE, result.details
    untaught = variant(parts, 5, prune="magnitude")
    assert untaught.metrics["params"] == result.metrics["params"]
    gaps = [gap_to_parent(parts, number) for number in (4, 5)]
    assert gaps[0] < 0.9 * gaps[1], "what a teacher says is what was learnt"


def gap_to_parent(parts, number):
    """Return how far the probabilities of a variant are from its parent's, on average."""
    images = parts.images.get("validation", 8).images_nchw
    with torch.inference_mode():
        ours, theirs = (
            load_checkpoint(trained_folder(parts.models_folder / f"trial_{one:04d}"))(images)
            for one in (number, 0)
        )
    return float((ours.softmax(1) - theirs.softmax(1)).abs().sum(1).mean())


def test_a_teacher_that_is_not_there_fails_the_variant_alone(parts, parent):
    result = variant(parts, 6, distil="logits", distil_teacher="nowhere")
    assert result.state is TrialState.FAILED
    assert "distil_teacher" in result.reason
    assert variant(parts, 7, quantize="int8").state is TrialState.COMPLETE


def test_a_trial_that_prunes_its_own_network_keeps_it_as_it_was_trained(parts):
    job = replace(job_for(of(prune="magnitude"), epochs=2), number=8)
    result = run_trial(job, parts, answering())
    assert result.state is TrialState.COMPLETE, result.details
    folder = parts.models_folder / "trial_0008"
    kept = load_checkpoint(trained_folder(folder))
    pruned = load_checkpoint(folder)
    n_kept, n_pruned = (sum(p.numel() for p in one.parameters()) for one in (kept, pruned))
    assert n_pruned < n_kept
    assert result.probe.params == n_pruned == result.metrics["params"]


def test_a_network_that_is_gone_fails_with_its_reason(parts):
    job = replace(job_for(of(quantize="int8"), epochs=1, parent=77), number=9)
    result = run_trial(job, parts, answering())
    assert result.state is TrialState.FAILED
    assert "trial_0077" in result.reason


def test_a_precision_the_runtime_lacks_costs_nothing(parts):
    space = load_space(
        {
            **net_space(width=8),
            "hyperparameters": {"learning_rate": 0.01},
            "compression": {"quantize": "bf16"},
            "runtime": {"runtime": "onnxruntime"},
        }
    )
    result = run_trial(job_for(candidate(space, {}), epochs=1), parts, answering())
    assert result.state is TrialState.INFEASIBLE
    assert "bf16" in result.reason
    assert not result.energy


def test_what_was_written_says_how(parts, parent):
    variant(parts, 10, quantize="int8")
    about = json.loads((parts.models_folder / "trial_0010" / "candidate.json").read_text())
    assert (about["precision"], about["file"], about["batch_size"]) == ("int8", "model.onnx", 1)

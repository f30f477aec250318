"""What every registered runtime promises, on the target it is for."""

import numpy as np
import pytest
import torch
from digits_tensors import digits, small_net
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.models.deployable import Deployable
from ecoautoml.records.precisions import PRECISIONS
from ecoautoml.runtimes import RUNTIMES, default_runtime
from ecoautoml.runtimes.base import Runtime, Session, TracedModel

TARGETS = ("cpu", "cuda:0")
SHAPE = (3, 1, 8, 8)
PIXELS = digits(3).images_nchw.numpy()


@pytest.fixture(scope="module", params=RUNTIMES.names())
def runtime(request):
    """Return a runtime that can run here, and the target it runs on."""
    runtime = RUNTIMES.get(request.param)()
    reasons = [runtime.why_unavailable(target) for target in TARGETS]
    if None not in reasons:
        pytest.skip("; ".join(reasons))
    return runtime


def network(seed=0, width=8):
    """Return a small network as a search exports it: raw pixels in, logits out."""
    module = small_net(seed, width=width).network
    return Deployable(module, mean=[0.3], std=[0.25]).eval()


@pytest.fixture(scope="module")
def traced(runtime):
    return runtime.trace(network(), SHAPE)


@pytest.fixture
def write(runtime, traced, tmp_path):
    """Return a function that writes a module through the one trace and returns the file."""

    def written(module, name="model"):
        file = tmp_path / f"{name}{runtime.suffix}"
        traced.write(module, file)
        return file

    return written


def torch_logits(module, pixels=PIXELS):
    with torch.inference_mode():
        device = next(module.parameters()).device
        return module(torch.from_numpy(pixels).to(device)).cpu().numpy()


def test_it_is_a_runtime(runtime):
    assert isinstance(runtime, Runtime)
    assert runtime.suffix.startswith(".")


def test_a_trace_is_written_with_different_weights(runtime, traced, write):
    assert isinstance(traced, TracedModel)
    modules = [network(seed) for seed in range(2)]
    files = [write(module, f"model{seed}") for seed, module in enumerate(modules)]
    for module, file in zip(modules, files, strict=True):
        with runtime.load(file) as session:
            assert isinstance(session, Session)
            np.testing.assert_allclose(session.run(PIXELS), torch_logits(module), atol=1e-4)
    assert np.abs(torch_logits(modules[0]) - torch_logits(modules[1])).max() > 0.01


def test_training_after_the_trace_is_in_the_file(runtime, traced, write):
    """Batch normalisation's statistics count as weights too."""
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    images = digits(64)
    module.train()
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images.images_nchw), images.labels).backward()
        optimizer.step()
    module.eval()
    with runtime.load(write(module)) as session:
        np.testing.assert_allclose(session.run(PIXELS), torch_logits(module), atol=1e-4)


def test_writing_leaves_the_module_as_it_was(traced, write):
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    write(module)
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_its_files_are_all_there_is_and_of_the_size_of_the_weights(runtime, write, tmp_path):
    module = network()
    file = write(module)
    files = runtime.files(file)
    assert files[0] == file
    assert sorted(files) == sorted(tmp_path.iterdir())
    weights = 4 * sum(parameter.numel() for parameter in module.parameters())
    assert weights <= runtime.size_bytes(file) < weights + 200_000
    assert runtime.size_bytes(file) == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_precision_it_lacks_is_refused_by_name_with_those_it_has(runtime, traced, tmp_path):
    assert runtime.precisions
    assert set(runtime.precisions) <= set(PRECISIONS)
    for precision in (*sorted(set(PRECISIONS) - set(runtime.precisions)), "int3"):
        with pytest.raises(RuntimeExportError, match=f"'{precision}'.*has {runtime.precisions[0]}"):
            traced.write(network(), tmp_path / "model", precision=precision)
    assert list(tmp_path.iterdir()) == []


def test_the_session_takes_bytes_in_batches_of_the_traced_size(runtime, write):
    with runtime.load(write(network())) as session:
        assert session.batch_size == SHAPE[0]
        assert PIXELS.dtype == np.uint8
        logits = session.run(PIXELS)
        session.synchronize()
    assert logits.shape == (SHAPE[0], 10)
    assert logits.dtype == np.float32


def test_the_extremes_of_bytes_are_not_signed(runtime, write):
    module = network()
    extremes = np.stack([np.full(SHAPE[1:], value, dtype=np.uint8) for value in (0, 127, 255)])
    with runtime.load(write(module)) as session:
        np.testing.assert_allclose(session.run(extremes), torch_logits(module, extremes), atol=1e-4)


def test_a_session_answers_again_and_again_and_keeps_no_memory(runtime, write):
    with runtime.load(write(network())) as session:
        first = session.run(PIXELS).copy()
        session.run(np.ascontiguousarray(PIXELS[::-1]))
        np.testing.assert_array_equal(session.run(PIXELS), first)


def test_two_sessions_do_not_disturb_each_other(runtime, write):
    modules = [network(seed) for seed in range(2)]
    files = [write(module, f"model{seed}") for seed, module in enumerate(modules)]
    with runtime.load(files[0]) as one, runtime.load(files[1]) as other:
        first, second = one.run(PIXELS), other.run(PIXELS)
    np.testing.assert_allclose(first, torch_logits(modules[0]), atol=1e-4)
    np.testing.assert_allclose(second, torch_logits(modules[1]), atol=1e-4)


def test_a_session_may_be_closed_twice(runtime, write):
    file = write(network())
    session = runtime.load(file)
    session.close()
    session.close()
    with runtime.load(file) as another:  # what was given back twice is still whole
        assert another.run(PIXELS).shape == (len(PIXELS), 10)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 40])
def test_a_broken_file_is_refused(runtime, tmp_path, content):
    file = tmp_path / f"broken{runtime.suffix}"
    file.write_bytes(content)
    with pytest.raises(RuntimeExportError, match="broken"):
        runtime.load(file)


def test_a_missing_file_is_refused(runtime, tmp_path):
    with pytest.raises(RuntimeExportError, match="missing"):
        runtime.load(tmp_path / f"missing{runtime.suffix}")


class Branching(nn.Module):
    """Goes one way or the other, by the values it is given: no fixed graph."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, image_bchw):
        x = image_bchw.float().flatten(1)
        if x.sum().item() > 5:
            x = -x
        return self.linear(x)


def test_a_network_that_is_no_fixed_graph_is_refused(runtime, tmp_path):
    module = Branching().eval()
    with pytest.raises(RuntimeExportError, match="export"):
        runtime.trace(module, SHAPE).write(module, tmp_path / f"model{runtime.suffix}")


@pytest.mark.parametrize("other", [Branching(), network(width=4)], ids=["names", "shapes"])
def test_writing_another_network_than_was_traced_is_refused(runtime, traced, tmp_path, other):
    with pytest.raises(RuntimeExportError, match="is not the one that was traced"):
        traced.write(other.eval(), tmp_path / f"model{runtime.suffix}")
    assert list(tmp_path.iterdir()) == []


def test_a_cuda_graph_is_refused_another_network_and_a_broken_file_on_any_machine(tmp_path):
    runtime = RUNTIMES.get("torch_cuda_graph")()
    file = tmp_path / "broken.pt2"
    file.write_bytes(b"not a model")
    with pytest.raises(RuntimeExportError, match="broken"):
        runtime.load(file)
    with pytest.raises(RuntimeExportError, match="is not the one that was traced"):
        runtime.trace(network(), SHAPE).write(network(width=4), tmp_path / "model.pt2")


@pytest.mark.parametrize("target", TARGETS)
def test_the_default_of_a_target_is_registered_and_for_it(target):
    name = default_runtime(target)
    why = RUNTIMES.get(name).why_unavailable(target)
    assert name in RUNTIMES.names()
    assert why is None or "not on" not in why


@pytest.mark.parametrize("name", RUNTIMES.names())
def test_it_says_in_a_sentence_where_it_cannot_run(name):
    reasons = [RUNTIMES.get(name).why_unavailable(target) for target in (*TARGETS, "tpu")]
    assert reasons[-1] == f"{name} runs on " + reasons[-1].split("runs on ", 1)[1]
    assert all(reason is None or len(reason) > 20 for reason in reasons)

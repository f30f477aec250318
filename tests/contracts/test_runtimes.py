"""What every registered runtime promises, on the target it is for."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from digits_tensors import digits, small_net
from torch import nn

from ecoautoml.errors import RuntimeExportError
from ecoautoml.models.deployable import Deployable
from ecoautoml.records.precisions import PRECISIONS
from ecoautoml.runtimes import RUNTIMES, default_runtime
from ecoautoml.runtimes.base import (
    MIN_CALIBRATION_IMAGES,
    Runtime,
    Session,
    TracedModel,
    written_whole,
)

TARGETS = ("cpu", "cuda:0")
SHAPE = (3, 1, 8, 8)
PIXELS = digits(3).images_nchw.numpy()
TRAINED_ON = 1000
BATCH = 40
WIDE_SHAPE = (BATCH, 1, 8, 8)
CALIBRATION = digits(90).images_nchw.numpy()  # no whole number of batches
UNSEEN = digits(200, start=TRAINED_ON).images_nchw.numpy()


@pytest.fixture(scope="module", params=RUNTIMES.names())
def runtime(request):
    """Return a runtime that can run here, and the target it runs on."""
    runtime = RUNTIMES.get(request.param)()
    reasons = [runtime.why_unavailable(target) for target in TARGETS]
    if None not in reasons:
        pytest.skip("; ".join(reasons))
    return runtime


LOAD_MORE_THAN_ONE_FILE = (
    "test_a_trace_is_written_with_different_weights",
    "test_training_after_the_trace_is_in_the_file",
    "test_the_session_takes_bytes_in_batches_of_the_traced_size",
    "test_the_extremes_of_bytes_are_not_signed",
    "test_a_session_answers_again_and_again_and_keeps_no_memory",
    "test_two_sessions_do_not_disturb_each_other",
    "test_a_session_may_be_closed_twice",
)
"""Left out where loading compiles: those of the section on precisions all load one file."""


@pytest.fixture(autouse=True)
def _affordable(request):
    if request.function.__name__ in LOAD_MORE_THAN_ONE_FILE:
        runtime = request.getfixturevalue("runtime")
        if runtime.loads_slowly:
            pytest.skip("loading compiles, and this loads files of its own")


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


class WideNet(nn.Module):
    """Wide enough for its weights to matter in the file, with convolutions and matrix products."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1),
            nn.BatchNorm2d(48),
            nn.Hardswish(),
            nn.Flatten(),
            nn.Linear(768, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )

    def forward(self, image_bchw):
        return self.layers(image_bchw)


@pytest.fixture(scope="module")
def trained():
    """Return a network that tells digits apart: its classes are no matter of chance."""
    module = Deployable(WideNet(), mean=[0.3], std=[0.37])
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    images = digits(TRAINED_ON)
    for _ in range(2):
        for start in range(0, TRAINED_ON, 50):
            optimizer.zero_grad()
            batch = images.images_nchw[start : start + 50]
            labels = images.labels[start : start + 50]
            nn.functional.cross_entropy(module(batch), labels).backward()
            optimizer.step()
    return module.eval()


@pytest.fixture(scope="module")
def exported(runtime, trained, tmp_path_factory):
    """Return a function that writes the trained network in a precision, each only once."""
    trace = runtime.trace(trained, (BATCH, 1, 8, 8))

    @functools.cache
    def written(precision):
        file = tmp_path_factory.mktemp("exported") / f"{precision}{runtime.suffix}"
        trace.write(trained, file, precision=precision, calibration=CALIBRATION)
        return file

    return written


def answers(session):
    """Return the logits of the images the network was not trained on, batch by batch."""
    return np.concatenate([session.run(batch).copy() for batch in UNSEEN.reshape(-1, *WIDE_SHAPE)])


def precisions_that_run(runtime):
    return [name for name in runtime.precisions if not runtime.why_precision_unavailable(name)]


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


def test_an_onnx_graph_does_not_depend_on_how_the_weights_lie_in_memory(tmp_path):
    """A network trained with channels last was given a larger graph than before its training.

    OpenVINO reads this file too; PyTorch's own formats are given channels last when loaded.
    """
    runtime = RUNTIMES.get("onnxruntime")()
    sizes = []
    for layout in (torch.contiguous_format, torch.channels_last):
        module = network().to(memory_format=layout)
        file = tmp_path / f"model{runtime.suffix}"
        runtime.trace(module, SHAPE).write(module, file)
        sizes.append(runtime.size_bytes(file))
    assert sizes[0] == sizes[1]


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


# --- precisions ---------------------------------------------------------------------------------


def test_every_precision_answers_like_torch(runtime, trained, exported):
    expected = torch_logits(trained, UNSEEN)
    for precision in precisions_that_run(runtime):
        with runtime.load(exported(precision)) as session:
            logits = answers(session)
        assert logits.dtype == np.float32
        if precision == "fp32":
            assert np.abs(logits - expected).max() <= 1e-3 * np.abs(expected).max()
        else:
            assert np.mean(logits.argmax(1) == expected.argmax(1)) >= 0.9, precision
            assert not np.array_equal(logits, expected), precision  # it is another precision


def test_every_precision_loaded_again_answers_the_same(runtime, exported):
    for precision in precisions_that_run(runtime):
        with runtime.load(exported(precision)) as session:
            first = answers(session)
        with runtime.load(exported(precision)) as session:
            np.testing.assert_array_equal(answers(session), first)


def test_a_precision_this_processor_lacks_is_written_but_not_loaded(runtime, exported):
    for precision in set(runtime.precisions) - set(precisions_that_run(runtime)):
        assert len(runtime.why_precision_unavailable(precision)) > 20
        with pytest.raises(RuntimeExportError, match="choose another precision"):
            runtime.load(exported(precision))


def test_the_size_is_that_of_all_files(runtime, exported):
    for precision in runtime.precisions:
        file = exported(precision)
        there = sorted(file.parent.iterdir())
        assert sorted(runtime.files(file)) == there
        assert runtime.size_bytes(file) == sum(path.stat().st_size for path in there)


def test_fewer_bits_make_a_smaller_file(runtime, exported):
    whole = runtime.size_bytes(exported("fp32"))
    for precision, share in (("int8", 0.5), ("int8_dynamic", 0.5), ("fp16", 0.7)):
        if precision in runtime.precisions:
            assert runtime.size_bytes(exported(precision)) < share * whole, precision


def test_int8_without_enough_images_is_refused_with_their_number(runtime, traced, tmp_path):
    if "int8" not in runtime.precisions:
        pytest.skip("it has no int8")
    too_few = digits(MIN_CALIBRATION_IMAGES - 1).images_nchw.numpy()
    file = tmp_path / f"model{runtime.suffix}"
    for images, given in ((None, 0), (too_few, MIN_CALIBRATION_IMAGES - 1)):
        with pytest.raises(RuntimeExportError, match=f"at least 32 training images.* {given};"):
            traced.write(network(), file, precision="int8", calibration=images)
    with pytest.raises(RuntimeExportError, match=r"of \(1, 8, 7\).* takes \(1, 8, 8\)"):
        traced.write(network(), file, precision="int8", calibration=CALIBRATION[..., :7])
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_nothing_behind(runtime, traced, tmp_path):
    file = tmp_path / f"model{runtime.suffix}"
    file.mkdir()  # takes the place of the file: it is written, and then cannot be moved
    with pytest.raises(RuntimeExportError, match="cannot be written"):
        traced.write(network(), file)
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(RuntimeExportError, match="cannot be written"):
        traced.write(network(), tmp_path / "nowhere" / f"model{runtime.suffix}")


def test_what_fails_while_it_is_written_leaves_what_was_there(tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(b"old")
    with pytest.raises(TypeError), written_whole(file) as draft:
        draft.write_bytes(b"half") and draft.write_bytes("text, not bytes")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
    with written_whole(file) as draft:
        draft.write_bytes(b"new")
        draft.with_suffix(".weights").write_bytes(b"beside")
    assert file.read_bytes() == b"new"
    assert (tmp_path / "model.weights").read_bytes() == b"beside"
    assert len(list(tmp_path.iterdir())) == 2


WITHOUT_TORCH = """
import sys
from pathlib import Path
import numpy as np
from ecoautoml.runtimes import RUNTIMES
runtime = RUNTIMES.get(sys.argv[1])()
assert runtime.why_unavailable("cpu") is None
assert not {"torch", "onnxruntime", "openvino", "nncf"} & set(sys.modules)
with runtime.load(Path(sys.argv[2])) as session:
    assert session.run(np.zeros((3, 1, 8, 8), dtype=np.uint8)).shape == (3, 10)
assert not {"torch", "nncf"} & set(sys.modules)
"""


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_file_is_loaded_and_run_without_torch(name, tmp_path):
    runtime = RUNTIMES.get(name)()
    if why := runtime.why_unavailable("cpu"):
        pytest.skip(why)
    file = tmp_path / f"model{runtime.suffix}"
    runtime.trace(network(), SHAPE).write(network(), file)
    command = [sys.executable, "-c", WITHOUT_TORCH, name, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the registry -------------------------------------------------------------------------------


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

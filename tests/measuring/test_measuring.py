"""Measuring by hand: blocks of code, commands, models, comparisons."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from processes import run
from torch import nn

from ecoautoml import measure
from ecoautoml.config.models import ReplayMeterConfig
from ecoautoml.data.photographs import photograph_crops
from ecoautoml.errors import ConfigError, EcoAutoMLError
from ecoautoml.measuring import compare_models, measure_command, measure_model
from ecoautoml.records.energy_reading import Provenance

SPIN = "import time\nend = time.process_time() + {s}\nwhile time.process_time() < end: pass"


class Convolution(nn.Module):
    """Takes floats (b, 3, 16, 16); ``layers`` decides what it costs."""

    def __init__(self, layers):
        super().__init__()
        self.body = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(layers)))

    def forward(self, image):
        return self.body(image).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """Return a function that exports such a network, for one batch size or for any."""
    folder = tmp_path_factory.mktemp("onnx")

    def export(layers=1, batch=1):
        path = folder / f"layers{layers}_batch{batch}.onnx"
        if not path.exists():
            example = torch.zeros(2 if batch is None else batch, 3, 16, 16)
            shapes = ({0: torch.export.Dim("batch")},) if batch is None else None
            program = torch.onnx.export(
                Convolution(layers).eval(), (example,), dynamo=True, dynamic_shapes=shapes
            )
            program.save(str(path))
        return path

    return export


# --- blocks and commands --------------------------------------------------------------------------


def test_a_block_of_code_is_billed():
    with measure(target="cpu") as m:
        exec(SPIN.format(s=0.3))
        so_far_j = m.energy_j
    assert m.provenance in Provenance
    assert 0 < so_far_j <= m.energy_j
    assert m.duration_s >= 0.3
    assert m.source
    assert m.readings[0].component == "cpu"


def test_a_block_is_billed_by_the_meter_asked_for(tmp_path):
    trace = tmp_path / "trace.csv"
    rows = "".join(f"{i},{5 * i}\n" for i in range(50))
    trace.write_text(f"# provenance: measured\ntime_s,energy_j\n{rows}")
    with measure("cpu", ReplayMeterConfig(kind="replay", path=trace)) as m:
        pass
    assert m.energy_j > 0
    assert m.energy_j % 5 == 0
    assert m.provenance is Provenance.MEASURED


def test_a_block_left_by_an_exception_is_billed_too():
    with pytest.raises(ValueError, match="mine"), measure("cpu") as m:
        raise ValueError("mine")
    assert m.energy_j is not None


def test_a_command_is_billed_with_the_processes_it_starts():
    child = SPIN.format(s=0.5)
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    one = measure_command([sys.executable, "-c", SPIN.format(s=0.5)], target="cpu")
    two = measure_command([sys.executable, "-c", f"{script}; {script}"], target="cpu")
    assert one.exit_code == 0
    assert two.energy_j > 1.5 * one.energy_j > 0


def test_a_command_that_cannot_be_started_says_so():
    with pytest.raises(EcoAutoMLError, match="no-such-program cannot be started"):
        measure_command(["no-such-program"], target="cpu")


def test_the_command_line_passes_on_output_and_exit_code():
    code = "import sys; print('from inside'); sys.exit(3)"
    plain = run("measure", "run", "--target", "cpu", "--", sys.executable, "-c", code)
    assert plain.returncode == 3
    assert plain.stdout == "from inside\n"
    assert "J in " in plain.stderr
    as_json = run("measure", "run", "--target", "cpu", "--json", "--", sys.executable, "-c", code)
    assert as_json.returncode == 3
    tree = json.loads(as_json.stdout)
    assert tree["exit_code"] == 3
    assert tree["energy_j"] > 0
    assert "from inside" in as_json.stderr


# --- models ---------------------------------------------------------------------------------------


def test_an_onnx_file_of_anybody_is_measured(onnx_file):
    (one,) = measure_model(onnx_file(), precision=0.2)
    assert one.batch_size == 1
    assert one.energy_low_j < one.energy_j < one.energy_high_j
    assert 0 < one.latency_ms <= one.latency_p95_ms
    assert one.provenance in Provenance


def test_an_open_batch_size_is_what_was_asked_for(onnx_file):
    file = onnx_file(batch=None)
    one, eight = measure_model(file, batch_sizes=[1, 8], precision=0.2)
    assert (one.batch_size, eight.batch_size) == (1, 8)
    assert eight.energy_j < one.energy_j  # per image
    assert eight.latency_ms > one.latency_ms  # per call


def test_a_file_made_for_another_batch_size_says_what_to_do(onnx_file):
    with pytest.raises(EcoAutoMLError, match="takes batches of 2, not of 4; measure it at --batch"):
        measure_model(onnx_file(batch=2), batch_sizes=[4])


def test_a_model_of_timm_is_measured_by_its_name():
    (one,) = measure_model("timm:test_efficientnet", target="cpu", precision=0.3)
    assert one.energy_j > 0
    with pytest.raises(EcoAutoMLError, match="timm has no model nosuchnet"):
        measure_model("timm:nosuchnet", target="cpu")


@pytest.mark.parametrize("name", ["nowhere.onnx", "text.txt", "empty"])
def test_what_is_no_model_is_refused_in_one_sentence(name, tmp_path):
    (tmp_path / "text.txt").write_text("no model")
    (tmp_path / "empty").mkdir()
    done = run("measure", tmp_path / name)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_an_onnx_file_that_takes_something_else_is_refused(tmp_path):
    program = torch.onnx.export(nn.Linear(4, 2).eval(), (torch.zeros(1, 4),), dynamo=True)
    program.save(str(tmp_path / "text.onnx"))
    with pytest.raises(EcoAutoMLError, match=r"does not take one tensor of images \(b, c, h, w\)"):
        measure_model(tmp_path / "text.onnx")


def test_images_of_a_folder_are_used_and_a_broken_one_is_named(onnx_file, tmp_path):
    Image.effect_noise((40, 30), 80).convert("RGB").save(tmp_path / "a.png")
    (one,) = measure_model(onnx_file(), images=tmp_path, precision=0.3)
    assert one.energy_j > 0
    (tmp_path / "b.png").write_text("not an image")
    with pytest.raises(EcoAutoMLError, match=r"b\.png cannot be read"):
        measure_model(onnx_file(), images=tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(EcoAutoMLError, match="holds no image files"):
        measure_model(onnx_file(), images=tmp_path / "none")


def test_the_command_line_prints_units_or_json(onnx_file):
    text = run("measure", onnx_file(batch=None), "--batch", "1,4", "--precision", "0.3")
    assert text.returncode == 0, text.stderr
    first, second = text.stdout.splitlines()
    assert first.startswith("batch 1: ")
    assert second.startswith("batch 4: ")
    assert "J per image (95 %: " in first
    assert " ms per call (p95 " in first
    as_json = run("measure", "model", onnx_file(), "--precision", "0.3", "--json")
    tree = json.loads(as_json.stdout)
    assert tree["interval_j"][0] < tree["inference_energy_j"] < tree["interval_j"][1]
    assert tree["throughput_images_per_s"] == pytest.approx(1e3 / tree["latency_ms"])
    assert {"provenance", "source", "latency_ms", "latency_p95_ms", "n_blocks"} <= set(tree)
    wrong = run("measure", onnx_file(), "--batch", "0")
    assert wrong.returncode == 2
    assert "--batch 0: give whole numbers from 1" in wrong.stderr


# --- comparisons ----------------------------------------------------------------------------------


def test_the_cheaper_of_two_models_is_found(onnx_file):
    comparison, (a, b) = compare_models(onnx_file(1), onnx_file(9), precision=0.1)
    assert comparison.verdict == "A"
    assert comparison.ratio_low < comparison.ratio < comparison.ratio_high < 1
    assert a.energy_j < b.energy_j


def test_a_model_against_itself_is_a_tie(onnx_file):
    verdicts = [
        compare_models(onnx_file(9), onnx_file(9), precision=0.1)[0].verdict for _ in range(3)
    ]
    assert verdicts.count("tie") >= 2  # 99 % each


def test_the_command_line_gives_a_verdict(onnx_file):
    text = run("measure", "compare", onnx_file(9), onnx_file(1), "--precision", "0.1")
    assert text.returncode == 0, text.stderr
    assert "B needs less: A needs " in text.stdout
    as_json = run("measure", "compare", onnx_file(1), onnx_file(9), "--precision", "0.1", "--json")
    tree = json.loads(as_json.stdout)
    assert tree["verdict"] == "A"
    assert tree["interval"][0] < tree["ratio"] < tree["interval"][1] < 1


def test_a_gpu_and_an_onnx_file_do_not_compare(onnx_file):
    with pytest.raises(ConfigError, match="do not run on the same device"):
        compare_models(onnx_file(), "timm:test_efficientnet", target="cuda")


# --- photographs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 48), (4, 16, 16)])
def test_photographs_come_in_any_size_and_differ(shape):
    images = photograph_crops(5, *shape)
    assert images.shape == (5, *shape)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 5
    assert images.std() > 20
    np.testing.assert_array_equal(images, photograph_crops(5, *shape))


def test_help_names_the_commands():
    done = subprocess.run(
        [sys.executable, "-m", "ecoautoml", "measure", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for word in ("compare", "run", "model"):
        assert word in done.stdout

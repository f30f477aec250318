"""Measuring by hand: blocks of code, commands, models, comparisons."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from processes import command, environment, run, start
from torch import nn

from ecoautoml import measure
from ecoautoml.cli.measure_words import verdict_words
from ecoautoml.config.models import ReplayMeterConfig
from ecoautoml.data.photographs import photograph_crops
from ecoautoml.energy.lease import DeviceLease
from ecoautoml.errors import ConfigError, EcoAutoMLError, MeterError
from ecoautoml.measuring import compare_models, measure_command, measure_model
from ecoautoml.records.energy_reading import Provenance
from ecoautoml.records.measurement import Comparison

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
        start_s = time.perf_counter()
        exec(SPIN.format(s=0.3))
        spent_s = time.perf_counter() - start_s  # below 0.3 s where other threads spin along
        so_far_j = m.energy_j
    assert m.provenance in Provenance
    assert 0 < so_far_j <= m.energy_j
    assert m.duration_s >= spent_s
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


def test_a_command_is_billed_by_the_meter_asked_for(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,energy_j\n" + "".join(f"{i},{5 * i}\n" for i in range(50)))
    chosen = ("--meter", "replay", "--option", f"path={trace}")
    done = run("measure", "run", "--json", *chosen, "--", sys.executable, "-c", "pass")
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    assert tree["source"] == "replay:trace.csv"
    assert tree["energy_j"] % 5 == 0
    assert tree["readings"][0]["energy_j"] == tree["energy_j"]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_and_its_bill_is_written(kind):
    sleeper = "import time; print('begun', flush=True); time.sleep(60)"
    process = start("measure", "run", "--target", "cpu", "--", sys.executable, "-c", sleeper)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(kind)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + kind
    assert "J in " in output.splitlines()[-1]


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
    with pytest.raises(EcoAutoMLError, match=r"timm has no model resnet81; .* timm:resnet\d+\?"):
        measure_model("timm:resnet81", target="cpu")
    with pytest.raises(EcoAutoMLError, match="nothing is downloaded here"):
        measure_model("timm:hf-hub:somebody/something", target="cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["timm:test_efficientnet", "--target", "tpu"], "there is no target 'tpu'"),
        (["run", "--target", "cuda:x", "--", "true"], "there is no target 'cuda:x'"),
        (["timm:test_efficientnet", "--precision", "2"], "--precision"),
        (["resnet18"], "for timm's model say timm:resnet18"),
        (["timm:test_efficientnet", "--meter", "cpu_time", "--option", "active_w=-1"], "active_w"),
        (["timm:test_efficientnet", "--meter", "nothing"], "no meter is called 'nothing'"),
        (["run", "--meter", "cpu_time", "--option", "watts=3", "--", "true"], "watts"),
    ],
)
def test_a_wrong_option_is_refused_and_named(arguments, message):
    done = run("measure", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


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
    first, second, about = text.stdout.splitlines()[:3]
    assert first.startswith("batch 1   ")
    assert second.startswith("batch 4   ")
    assert "J per image ± " in first
    assert "s per call (p95 " in first
    assert about.startswith("Energy is ")
    as_json = run("measure", "model", onnx_file(), "--precision", "0.3", "--json")
    tree = json.loads(as_json.stdout)
    assert tree["interval_j"][0] < tree["inference_energy_j"] < tree["interval_j"][1]
    assert tree["throughput_images_per_s"] == pytest.approx(1e3 / tree["latency_ms"], rel=0.5)
    assert {"provenance", "source", "latency_ms", "latency_p95_ms", "n_blocks"} <= set(tree)
    wrong = run("measure", onnx_file(), "--batch", "0")
    assert wrong.returncode == 2
    assert "--batch 0: give whole numbers from 1" in wrong.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_one_sentence():
    with pytest.raises(ConfigError, match="nothing can be measured on cuda:0 here: "):
        measure_model("timm:test_efficientnet", target="cuda")


def test_ctrl_c_while_a_model_is_measured_is_one_sentence(onnx_file, tmp_path):
    process = subprocess.Popen(
        command("measure", onnx_file(9), "--precision", "0.001"),
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), "TMPDIR": str(tmp_path)},  # where the lease lies
    )
    while not _is_leased(tmp_path / "ecoautoml-cpu.lock"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "Interrupted: nothing was measured to the end.\n"


def _is_leased(path):
    try:
        with DeviceLease(path, timeout_s=0.0):
            return False
    except MeterError:
        return True


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
    verdict = text.stdout.splitlines()[-1]
    assert verdict.startswith("B needs less: ")
    assert " % less energy per image than A (99 % interval " in verdict
    as_json = run("measure", "compare", onnx_file(1), onnx_file(9), "--precision", "0.1", "--json")
    tree = json.loads(as_json.stdout)
    assert tree["verdict"] == "A"
    assert tree["interval"][0] < tree["ratio"] < tree["interval"][1] < 1


def test_an_onnx_file_is_not_silently_measured_elsewhere(onnx_file):
    with pytest.raises(ConfigError, match="runs on the CPU here, not on cuda; say --target cpu"):
        measure_model(onnx_file(), target="cuda")
    with pytest.raises(ConfigError, match="runs on the CPU here"):
        compare_models(onnx_file(), "timm:test_efficientnet", target="cuda")


def test_words_of_a_verdict_say_who_and_how_much_less():
    def words(ratio, low, high, verdict):
        return verdict_words(
            Comparison(
                a="A",
                b="B",
                ratio=ratio,
                ratio_low=low,
                ratio_high=high,
                verdict=verdict,
                n=8,
                confidence=0.99,
            )
        )

    assert words(0.8, 0.75, 0.9, "A") == (
        "A needs less: 20.0 % less energy per image than B "
        "(99 % interval 10.0 to 25.0 %, 8 rounds in turn)."
    )
    assert words(2.0, 1.6, 2.5, "B") == (
        "B needs less: 50.0 % less energy per image than A "
        "(99 % interval 37.5 to 60.0 %, 8 rounds in turn)."
    )
    assert words(1.01, 0.98, 1.04, "tie").startswith("Tie: A needs +1.0 % energy")
    assert "-2.0 to +4.0 %" in words(1.01, 0.98, 1.04, "tie")
    assert words(None, None, None, None).startswith("No verdict")


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

"""A trial's model in a folder of its own: copied or exported anew, checked, whole or not at all."""

import json
import resource
import shutil
import subprocess
import sys

import pytest
from processes import command, environment

from ecoautoml import EcoModel, SearchResult
from ecoautoml.data import read_prepared
from ecoautoml.deploy import export_model
from ecoautoml.deploy.formats import FORMATS
from ecoautoml.deploy.verify import agreement, validation_images
from ecoautoml.errors import ConfigError, MissingExtraError, RunError, RuntimeExportError
from ecoautoml.runtimes.onnx_runtime import OnnxRuntime

BESIDE = {"preprocessing.json", "README.md", "example.py"}


@pytest.fixture
def own_copy(small_run, tmp_path):
    """The same run in a folder that a test may change."""
    return shutil.copytree(small_run.folder, tmp_path / "run" / "quick")


def names_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("batch", "file"), [(None, "model.onnx"), (4, "model_b4.onnx")])
def test_the_trials_own_file_is_copied_byte_for_byte(batch, file, small_run, tmp_path):
    found = export_model(small_run, 0, tmp_path / "out", batch_size=batch)
    own = small_run.model_folder(0) / file
    assert (tmp_path / "out" / "model.onnx").read_bytes() == own.read_bytes()
    assert found.is_copy
    assert names_in(tmp_path / "out") == {"model.onnx", *BESIDE}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_every_format_is_written_whole_and_checked(one, small_run, tmp_path):
    found = export_model(small_run, 0, tmp_path / "out", format=one.name, batch_size=3)
    assert found.files[0].name == one.file
    assert {path.name for path in found.files} == names_in(tmp_path / "out")
    if one.name == "safetensors":
        assert found.is_copy
    else:
        assert found.agreement.n_images == 64
        assert found.agreement.largest_gap < 1e-4
        assert found.agreement.same_class == 1.0
    with EcoModel.load(tmp_path / "out") as model:
        assert model.class_names == tuple("0123456789")


def test_another_precision_is_judged_by_the_classes_it_names(small_run, tmp_path):
    found = export_model(small_run, 0, tmp_path / "out", format="openvino", precision="int8")
    assert found.preprocessing.precision == "int8"
    assert found.agreement.tolerance is None
    assert 0.9 <= found.agreement.same_class <= 1
    assert "int8" in (tmp_path / "out" / "README.md").read_text()


def test_preprocessing_says_what_the_model_takes(small_run, tmp_path):
    export_model(small_run, 0, tmp_path / "out")
    tree = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    assert tree["input"]["shape"] == [2, 1, 12, 12]
    assert (tree["input"]["layout"], tree["input"]["dtype"]) == ("NCHW", "uint8")
    assert (tree["resize"]["prepared_side"], tree["resize"]["side"]) == (8, 12)
    assert tree["normalisation"] == "inside the model"
    prepared = read_prepared(small_run.folder / "data")
    assert tree["mean"] == pytest.approx(list(prepared.mean))
    assert tree["class_names"] == list(prepared.class_names)


def test_the_card_tells_figures_with_where_they_come_from(small_run, tmp_path):
    export_model(small_run, 0, tmp_path / "own")
    export_model(small_run, 0, tmp_path / "other", format="torch")
    own, other = ((tmp_path / name / "README.md").read_text() for name in ("own", "other"))
    row = small_run.trials.iloc[0]
    assert f"| validation accuracy | {row['validation_accuracy']:.4f} (270 images) |" in own
    assert f"| test accuracy | {row['test_accuracy']:.4f} (270 images) |" in own
    assert "95 % interval" in own
    assert str(row["inference_energy_provenance"]) in own
    assert "measured of this very file" in own
    assert "not of this one" in other
    assert "on 64 validation images logits differ by up to" in other
    assert "python example.py image.png" in own


# --- nothing half-written -------------------------------------------------------------------------


def test_a_file_that_disagrees_is_refused_with_the_numbers(own_copy, tmp_path):
    path = own_copy / "models" / "trial_0000" / "candidate.json"
    tree = json.loads(path.read_text())
    tree["candidate"]["architecture"]["behaviour"] = "lies"
    path.write_text(json.dumps(tree))
    with pytest.raises(RuntimeExportError, match=r"on 64 validation images logits differ by up to"):
        export_model(own_copy, 0, tmp_path / "new" / "out", batch_size=3)
    assert not (tmp_path / "new").exists()


def test_another_network_is_told_from_the_files(small_run):
    import torch

    prepared = read_prepared(small_run.folder / "data")
    pixels = validation_images(prepared, 12)
    network = small_run.load(0)
    with OnnxRuntime().load(small_run.model_folder(0) / "model.onnx") as session:
        assert agreement(session, network, pixels, "fp32").largest_gap < 1e-4
        with torch.no_grad():
            network.network[-1].bias[3] += 1
        with pytest.raises(RuntimeExportError, match="disagrees with the network"):
            agreement(session, network, pixels, "fp32")


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch", "torchscript"])
def test_a_full_disk_leaves_nothing(name, small_run, tmp_path):
    options = ["--trial", 0, "--format", name, "-o", tmp_path / "new" / "out"]
    done = subprocess.run(
        command("export", small_run.folder, *options),
        capture_output=True,
        text=True,
        timeout=200,
        env={**environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: ")
    assert "annot be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_only_an_earlier_export_is_replaced_and_only_by_force(small_run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export_model(small_run, 0, out)
    with pytest.raises(ConfigError, match="holds an earlier export; add --force"):
        export_model(small_run, 0, out, format="torch")
    export_model(small_run, 0, out, format="torch", is_forced=True)
    assert names_in(out) == {"model.pt2", *BESIDE}
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="holds other files"):
        export_model(small_run, 0, mine, is_forced=True)
    with pytest.raises(ConfigError, match="is a file"):
        export_model(small_run, 0, mine / "thesis.txt")
    with pytest.raises(RuntimeExportError, match="cannot be written"):
        export_model(small_run, 0, mine / "thesis.txt" / "out")
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert names_in(tmp_path) == {"out", "mine"}


# --- what is not possible -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"format": "onx"}, "did you mean 'onnx'"),
        ({"format": "torch", "precision": "int8"}, "has no precision int8; it has fp32"),
        ({"batch_size": 0}, "give the images per call, from 1"),
    ],
)
def test_a_wrong_wish_is_answered_in_a_sentence(more, message, small_run, tmp_path):
    with pytest.raises(ConfigError, match=message):
        export_model(small_run, 0, tmp_path / "out", **more)
    assert list(tmp_path.iterdir()) == []


def test_trials_without_a_model_are_named(own_copy, tmp_path):
    with pytest.raises(RunError, match="has no trial 5"):
        export_model(own_copy, 5, tmp_path / "out")
    shutil.rmtree(own_copy / "models")
    with pytest.raises(RunError, match="no model of trial 0 is kept"):
        export_model(own_copy, 0, tmp_path / "out")


def test_without_the_runs_images_nothing_is_exported_unchecked(own_copy, tmp_path):
    shutil.rmtree(own_copy / "data")
    with pytest.raises(RunError, match="holds no prepared images"):
        export_model(SearchResult.read(own_copy), 0, tmp_path / "out", format="torch")


def test_a_missing_library_is_named_with_the_pip_command(small_run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="pip install openvino"):
        export_model(small_run, 0, tmp_path / "out", format="openvino")

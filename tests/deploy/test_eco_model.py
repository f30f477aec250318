"""Predicting with what a search has found: as the search scored it, with and without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecoautoml import EcoModel
from ecoautoml.data import read_prepared
from ecoautoml.data.photographs import photograph_crops
from ecoautoml.data.pixels import resized_pixels
from ecoautoml.data.prepared import images_path
from ecoautoml.data.tensors import load_tensors
from ecoautoml.deploy import Prediction, export_model
from ecoautoml.deploy.model import softmax
from ecoautoml.errors import ConfigError, DataError, RunError
from ecoautoml.runtimes.onnx_runtime import OnnxRuntime
from ecoautoml.trial.evaluate import session_logits

ROOT = Path(__file__).parent.parent.parent
FORMATS = ("onnx", "openvino", "torch", "torchscript")

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["timm"] = sys.modules["torchvision"] = None
import ecoautoml, ecoautoml.deploy
from ecoautoml import EcoModel
with EcoModel.load(sys.argv[1]) as model:
    print(*(found.class_name for found in model.predict(sys.argv[2:])))
"""
WITHOUT_ECOAUTOML = """
import runpy, sys
sys.modules["ecoautoml"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(small_run, tmp_path_factory):
    """The trial's model in every format, each in a folder called like it."""
    folder = tmp_path_factory.mktemp("exported")
    for name in (*FORMATS, "safetensors"):
        export_model(small_run, 0, folder / name, format=name)
    return folder


@pytest.fixture(scope="module")
def model(exported):
    with EcoModel.load(exported / "onnx") as loaded:
        yield loaded


def python(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the same as in the search --------------------------------------------------------------------


def test_files_of_the_validation_images_are_predicted_as_they_were_scored(
    small_run, digit_files, model
):
    prepared = read_prepared(small_run.folder / "data")
    images = load_tensors(prepared, "validation", 12)
    with OnnxRuntime().load(small_run.model_folder(0) / "model.onnx") as session:
        logits = session_logits(session, images)[: len(digit_files)]
    found = model.predict(digit_files)
    assert [one.index for one in found] == logits.argmax(axis=1).tolist()
    assert len({one.index for one in found}) > 1
    np.testing.assert_allclose(model.predict_proba(digit_files), softmax(logits), atol=1e-6)


@pytest.mark.parametrize("side", [5, 17, 40, 64, 100])
def test_pixels_are_resized_as_bilinear_with_antialiasing(side):
    import torch

    pixels = photograph_crops(4, 3, 40, 40)
    size = (side, side)
    floats = torch.from_numpy(pixels).float()
    theirs = torch.nn.functional.interpolate(floats, size=size, mode="bilinear", antialias=True)
    ours = np.stack([resized_pixels(one, side) for one in pixels])
    assert ours.shape == (4, 3, side, side)
    assert np.abs(ours - theirs.numpy()).max() < 0.51  # rounded, ties either way


def test_an_export_a_run_and_its_models_folder_predict_alike(small_run, digit_files, exported):
    expected = EcoModel.load(exported / "onnx").predict(digit_files)
    own = small_run.model_folder(0)
    for path, more in (
        (small_run.folder, {"trial": 0}),
        (own, {}),
        (str(own), {"batch_size": 4}),
    ):
        with EcoModel.load(path, **more) as loaded:
            assert loaded.batch_size == more.get("batch_size", 2)
            found = loaded.predict(digit_files)
        assert [one.index for one in found] == [one.index for one in expected]


@pytest.mark.parametrize("name", [*FORMATS, "safetensors"])
def test_every_format_predicts_the_same(name, exported, digit_files, model):
    with EcoModel.load(exported / name) as loaded:
        probabilities = loaded.predict_proba(digit_files)
    np.testing.assert_allclose(probabilities, model.predict_proba(digit_files), atol=1e-4)


# --- images in any form ---------------------------------------------------------------------------


def test_an_image_is_the_same_in_every_form(digit_files, model):
    (expected,) = model.predict(digit_files[0])
    with Image.open(digit_files[0]) as opened:
        grey = np.array(opened)
        forms = [str(digit_files[0]), opened.copy(), grey, grey[..., None], opened.convert("RGB")]
    forms += [np.stack([grey] * 3, axis=-1), grey[None], grey[None, ..., None], [grey]]
    for form in forms:
        assert model.predict(form) == [expected]
    assert isinstance(expected, Prediction)
    assert expected.class_name == model.class_names[expected.index]
    assert expected.probability == max(expected.probabilities)
    assert sum(expected.probabilities) == pytest.approx(1)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 11])
def test_any_number_of_images_is_predicted(count, digit_files, model):
    found = model.predict(digit_files[:count])
    assert found == [model.predict(path)[0] for path in digit_files[:count]]
    assert model.predict_proba(digit_files[:count]).shape == (count, 10)


def test_a_batch_is_as_many_images(small_run, digit_files, model):
    prepared = read_prepared(small_run.folder / "data")
    batch = np.load(images_path(prepared.folder, "validation"))[: len(digit_files), 0]
    assert model.predict(batch) == model.predict(digit_files)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8)), "an image of float64 was given; give uint8"),
        (np.zeros((2, 8, 8, 5), np.uint8), r"shape \(8, 8, 5\) is no image"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\) is no image"),
        (["nowhere.png"], "nowhere.png is not there"),
        (".", "is a folder, not an image"),
        ([3], "a int is no image"),
        (3, "a int is no image"),
    ],
)
def test_what_is_no_image_is_said_in_a_sentence(image, message, model):
    with pytest.raises(DataError, match=message):
        model.predict(image)


def test_a_damaged_image_does_not_keep_others_from_being_predicted(tmp_path, digit_files, model):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(digit_files[0].read_bytes()[:40])
    found = list(model.predict_each([digit_files[0], damaged, digit_files[1]]))
    assert [found[0], found[2]] == model.predict(digit_files[:2])
    assert isinstance(found[1], DataError)
    assert "damaged.png cannot be read" in str(found[1])
    with pytest.raises(DataError, match=r"damaged.png cannot be read"):
        model.predict([damaged])


# --- elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_it_predicts_where_there_is_no_torch(name, exported, digit_files, model, tmp_path):
    out = python("-c", WITHOUT_TORCH, exported / name, *digit_files, cwd=tmp_path)
    assert out.split() == [one.class_name for one in model.predict(digit_files)]


@pytest.mark.parametrize("name", FORMATS)
def test_the_example_predicts_where_there_is_no_ecoautoml(
    name, exported, digit_files, model, tmp_path
):
    script = exported / name / "example.py"
    assert "ecoautoml" not in script.read_text().replace("ecoautoml.data", "")
    out = python("-I", "-c", WITHOUT_ECOAUTOML, script, *digit_files, cwd=tmp_path)
    rows = [line.split("\t") for line in out.splitlines()]
    expected = model.predict(digit_files)
    assert [row[0] for row in rows] == [str(path) for path in digit_files]
    assert [row[1] for row in rows] == [one.class_name for one in expected]
    for row, one in zip(rows, expected, strict=True):
        assert float(row[2]) == pytest.approx(one.probability, abs=1e-3)


# --- what cannot be loaded ------------------------------------------------------------------------


def test_what_holds_no_model_is_said_in_a_sentence(small_run, exported, tmp_path):
    for path, more, message in (
        (tmp_path / "nowhere", {}, "is not there"),
        (tmp_path, {}, "holds no model: neither preprocessing.json of an export, nor a run"),
        (exported / "onnx" / "model.onnx", {}, "is a file; give the folder it lies in"),
        (small_run.folder, {}, "is a run: say which of its models with --trial"),
        (small_run.folder, {"trial": 7}, "has no trial 7"),
        (exported / "onnx", {"trial": 7}, "holds trial 0, not 7"),
        (small_run.folder, {"trial": 0, "batch_size": 3}, "export --batch 3 makes one"),
    ):
        with pytest.raises(RunError, match=message):
            EcoModel.load(path, **more)
    with pytest.raises(ConfigError, match="takes batches of 2, not of 3"):
        EcoModel.load(exported / "onnx", batch_size=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "written by a later ecoautoml"),
        ({"class_names": 3}, "is not what an export writes"),
        ({"model": {}}, "is not what an export writes"),
        (None, "is not what an export writes"),
    ],
)
def test_a_file_of_another_kind_is_refused(change, message, exported, tmp_path):
    text = (exported / "onnx" / "preprocessing.json").read_text()
    tree = "[]" if change is None else json.dumps({**json.loads(text), **change})
    (tmp_path / "preprocessing.json").write_text(tree)
    with pytest.raises(RunError, match=message):
        EcoModel.load(tmp_path)


def test_a_closed_model_says_so(exported, digit_files):
    model = EcoModel.load(exported / "onnx")
    assert "10 classes" in repr(model)
    model.close()
    model.close()
    with pytest.raises(RunError, match="was closed"):
        model.predict(digit_files)

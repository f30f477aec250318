"""``ecoautoml predict``: a line per image, and every mistake one sentence."""

import json
import shutil
import sys

import pytest

from ecoautoml import EcoModel
from ecoautoml.cli.app import main
from ecoautoml.deploy import export_model


@pytest.fixture(scope="module")
def exported(small_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict") / "out"
    export_model(small_run, 0, folder)
    return folder


@pytest.fixture
def cli(monkeypatch, capsys):
    """Return a function that runs a command here: exit code, output, errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["ecoautoml", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return ended.value.code or 0, told.out, told.err

    return run


@pytest.fixture
def folder(digit_files, tmp_path):
    """A folder with three images, one of them deeper, a note, and a hidden file."""
    root = tmp_path / "images"
    (root / "deeper").mkdir(parents=True)
    for source, name in zip(digit_files, ("a.png", "b.png", "deeper/c.png"), strict=False):
        shutil.copy(source, root / name)
    (root / "note.txt").write_text("not an image")
    (root / ".hidden.png").write_text("not an image")
    return root


def test_every_image_is_a_line_in_the_order_given(cli, exported, digit_files):
    files = [digit_files[3], *digit_files[:3]]
    code, told, errors = cli("predict", exported, *files)
    assert (code, errors) == (0, "")
    with EcoModel.load(exported) as model:
        expected = model.predict(files)
    assert told.splitlines() == [
        f"{file}\t{one.class_name}\t{one.probability:.4f}"
        for file, one in zip(files, expected, strict=True)
    ]


def test_a_run_predicts_like_its_export_with_the_best_classes(cli, small_run, exported, folder):
    code, told, _ = cli("predict", exported, folder, "--top", 3, "--json")
    trees = json.loads(told)
    assert code == 0
    assert [tree["file"] for tree in trees] == [
        str(folder / name) for name in ("a.png", "b.png", "deeper/c.png")
    ]
    for tree in trees:
        best = [one["probability"] for one in tree["top"]]
        assert best == sorted(best, reverse=True)
        assert len(best) == 3
        assert tree["class"] == tree["top"][0]["class"]
    options = ["--trial", 0, "--batch", 4, "--top", 3, "--json"]
    _, again, _ = cli("predict", small_run.folder, folder, *options)
    assert [tree["class"] for tree in json.loads(again)] == [tree["class"] for tree in trees]


def test_unreadable_images_are_named_and_passed_over(cli, exported, folder):
    (folder / "aa.png").write_bytes(b"damaged")
    code, told, errors = cli("predict", exported, folder)
    assert code == 1
    assert [line.split("\t")[0] for line in told.splitlines()] == [
        str(folder / name) for name in ("a.png", "b.png", "deeper/c.png")
    ]
    assert errors.splitlines() == [
        f"Skipped: {folder / 'aa.png'} cannot be read: not an image",
        "1 of 4 images could not be read",
    ]
    code, told, _ = cli("predict", exported, folder, "--json")
    assert code == 1
    assert [("error" in tree) for tree in json.loads(told)] == [False, True, False, False]


def test_a_mistake_is_one_sentence(cli, small_run, exported, folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        ((tmp_path / "nowhere", folder), "nowhere is not there"),
        ((empty, folder), "holds no model: neither preprocessing.json"),
        ((small_run.folder, folder), "is a run: say which of its models with --trial"),
        ((small_run.folder, folder, "--trial", 9), "has no trial 9"),
        ((exported, folder, "--batch", 3), "takes batches of 2, not of 3"),
        ((exported, folder / "z.png"), "there is no"),
        ((exported, folder / "note.txt"), "note.txt is not an image"),
        ((exported, empty), "holds no image files"),
    ):
        code, told, errors = cli("predict", *arguments)
        assert (code, told) == (2, ""), errors
        assert errors.startswith("Error: ")
        assert message in errors
        assert len(errors.splitlines()) == 1

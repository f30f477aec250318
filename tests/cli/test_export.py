"""``ecoautoml export``: one command, and every mistake one sentence."""

import json
import sys

import pytest

from ecoautoml.cli.app import main


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


def test_a_model_is_exported_and_what_was_written_is_told(cli, small_run, tmp_path):
    out = tmp_path / "out"
    code, told, errors = cli("export", small_run.folder, "--trial", 0, "-o", out)
    assert (code, errors) == (0, "")
    first, *files = told.splitlines()
    assert first == "trial 0 as onnx, fp32, batch 2: the trial's own file"
    assert sorted(files) == sorted(str(path) for path in out.iterdir())


def test_without_a_trial_the_suggested_model_is_exported(cli, small_run, tmp_path):
    options = ["--format", "torchscript", "--batch", 1, "--json", "-o", tmp_path / "out"]
    code, told, _ = cli("export", small_run.folder, *options)
    tree = json.loads(told)
    assert code == 0
    assert tree["trial"] == small_run.knee.trial
    assert (tree["format"], tree["batch_size"], tree["is_copy"]) == ("torchscript", 1, False)
    assert "64 validation images" in tree["checked"]


def test_force_replaces_an_earlier_export(cli, small_run, tmp_path):
    export = ["export", small_run.folder, "--trial", 0, "-o", tmp_path / "out"]
    assert cli(*export)[0] == 0
    code, _, errors = cli(*export, "--batch", 4)
    assert code == 2
    assert (
        errors == f"Error: {tmp_path / 'out'} holds an earlier export; add --force to replace it\n"
    )
    assert cli(*export, "--batch", 4, "--force")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trial", 9], "has no trial 9; they go from 0 to 0"),
        (["--trial", 0, "--format", "tflite"], "no format is called 'tflite'"),
        (["--trial", 0, "--format", "torch", "--precision", "fp4"], "has no precision fp4"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(
    options, message, cli, small_run, tmp_path
):
    code, told, errors = cli("export", small_run.folder, "-o", tmp_path / "out", *options)
    assert (code, told) == (2, "")
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_or_run_is_one_sentence(cli, small_run, tmp_path, monkeypatch):
    code, _, errors = cli("export", tmp_path / "nowhere", "--trial", 0, "-o", tmp_path / "out")
    assert code == 2
    assert "nowhere holds no run" in errors
    monkeypatch.setitem(sys.modules, "openvino", None)
    options = ["--trial", 0, "--format", "openvino", "-o", tmp_path / "out"]
    code, _, errors = cli("export", small_run.folder, *options)
    assert code == 2
    assert errors.endswith("pip install openvino\n")

"""What a run was made with."""

import platform
import subprocess
from importlib.metadata import version

import pytest

from ecoautoml.study.environment import PACKAGES, environment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder this process is in, which is part of no repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def git(folder, *arguments):
    settings = ("user.name=somebody", "user.email=somebody@example.org", "commit.gpgsign=false")
    options = [option for setting in settings for option in ("-c", setting)]
    done = subprocess.run(
        ["git", *options, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_is_that_of_the_folder_a_search_is_started_in(folder):
    git(folder, "init")
    for message in ("first", "second"):
        git(folder, "commit", "--allow-empty", "--message", message)
    commit = environment("cpu", (), 0)["git_commit"]
    assert commit == git(folder, "rev-parse", "HEAD")
    assert len(commit) == 40


def test_outside_a_repository_there_is_no_commit(folder):
    assert environment("cpu", (), 0)["git_commit"] is None


def test_versions_are_those_installed():
    about = environment("cpu", (), 0)
    assert about["packages"] == {name: version(name) for name in PACKAGES}
    assert {"ecoautoml", "torch", "timm", "optuna", "onnxruntime"} <= set(about["packages"])
    assert about["python"] == platform.python_version()


def test_seed_target_and_meters_are_what_was_given():
    about = environment("cuda:1", ("nvml reads a board",), 7)
    assert about["seed"] == 7
    assert about["meters"] == ["nvml reads a board"]
    assert about["hardware"]["measured on"] == "cuda:1"

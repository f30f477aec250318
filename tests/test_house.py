"""Promises about the package as a whole."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ecoautoml

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "ecoautoml").rglob("*.py"))


def test_the_public_names_are_those_listed_and_sorted():
    assert list(ecoautoml.__all__) == sorted(
        ecoautoml.__all__, key=lambda name: (name == "search", name)
    )
    for name in ecoautoml.__all__:
        assert getattr(ecoautoml, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ecoautoml.nothing


def test_the_version_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert ecoautoml.__version__ == project["version"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["search", "--help"], ["--version"], ["spaces"], ["config", "schema"]]
)
def test_light_commands_load_nothing_heavy(arguments):
    code = (
        "import sys; sys.argv = ['ecoautoml', *sys.argv[1:]]\n"
        "from ecoautoml.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'optuna', 'pandas', 'plotly', 'sklearn', 'onnxruntime'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_search_is_chosen_and_recorded_without_torch():
    code = "import ecoautoml.api, ecoautoml.result, sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_room_is_called_like_a_public_function():
    rooms = {path.name for path in (ROOT / "ecoautoml").iterdir() if path.is_dir()}
    assert not rooms & {"search", "measure"}  # a late import would replace the function


def test_ci_runs_the_readmes_test_command_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test"]
    assert "make test" in (ROOT / "README.md").read_text()
    assert "make quickstart" in (ROOT / "README.md").read_text()

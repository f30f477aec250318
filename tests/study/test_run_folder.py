import json
import subprocess
import sys

import pytest
import yaml

from ecoautoml.config import load_config
from ecoautoml.errors import ConfigError, RunError
from ecoautoml.study.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, MAY_CHANGE, RunFolder

HOLD_IT = """
import sys
from pathlib import Path
from ecoautoml.config import load_config
from ecoautoml.study.run_folder import RunFolder
config = load_config({"data": "digits", "space": "tiny"})
with RunFolder(Path(sys.argv[1])).take(config, resume=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def config(**changes):
    return load_config({"data": "digits", "space": "tiny", **changes})


def open_run(path, *, resume=False, **changes):
    """Take the folder and begin a run in it, as a search does."""
    run = RunFolder(path).take(config(**changes), resume=resume)
    run.begin(config(**changes), {"seed": 3})
    return run


def test_a_new_run_writes_what_it_was_made_with(tmp_path):
    with open_run(tmp_path / "a" / "run", seed=3) as run:
        assert run.exists()
        assert run.config() == config(seed=3)
        assert json.loads((run.path / ENVIRONMENT_FILE).read_text()) == {"seed": 3}
        assert run.models.parent == run.data.parent == run.path
    assert yaml.safe_load((run.path / CONFIG_FILE).read_text())["seed"] == 3


def test_the_ledger_lies_in_the_folder_unless_told_otherwise(tmp_path):
    run = RunFolder(tmp_path)
    assert run.storage(config()) == f"sqlite:///{tmp_path.resolve()}/ledger.db"
    assert run.storage(config(storage="sqlite:///x.db")) == "sqlite:///x.db"


def test_a_folder_with_a_run_is_refused_unless_it_is_to_go_on(tmp_path):
    open_run(tmp_path).close()
    with pytest.raises(RunError, match=r"already holds a run; add --resume .* --set name=OTHER"):
        open_run(tmp_path)
    open_run(tmp_path, resume=True).close()


def test_resuming_what_was_never_begun_begins_it(tmp_path):
    with open_run(tmp_path / "new", resume=True) as run:
        assert run.exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 4}, "another seed;"),
        ({"objectives": ["validation_accuracy", "params"]}, "another objectives;"),
        ({"training": {"epochs": 9}, "data": {"subset": 99}}, "another data, training;"),
        ({"sampler": "random", "budget": {"trials": 99}}, "another sampler;"),
    ],
)
def test_a_changed_configuration_is_refused_and_the_keys_are_named(tmp_path, changes, named):
    open_run(tmp_path).close()
    before = (tmp_path / CONFIG_FILE).read_text()
    with pytest.raises(RunError, match=named) as caught:
        open_run(tmp_path, resume=True, **changes)
    allowed = "may only change budget, carbon, executor, keep_models, name, output"
    assert allowed in str(caught.value)
    assert (tmp_path / CONFIG_FILE).read_text() == before


def test_what_does_not_alter_a_trial_may_change(tmp_path):
    open_run(tmp_path).close()
    changes = {
        "budget": {"trials": 99},
        "executor": {"workers": 3},
        "output": "elsewhere",
        "name": "other",
        "keep_models": "all",
        "carbon": {"zone": "DE"},
    }
    assert set(changes) == MAY_CHANGE
    with open_run(tmp_path, resume=True, **changes) as run:
        assert run.config() == config(**changes)


def test_a_folder_in_which_nothing_was_begun_leaves_no_trace(tmp_path):
    with RunFolder(tmp_path / "run").take(config(), resume=False) as run:
        assert run.path.is_dir()
        assert not run.exists()
    assert not run.path.exists()


def test_a_folder_that_was_there_before_is_left_there(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    RunFolder(tmp_path).take(config(), resume=False).close()
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_run_that_was_begun_stays_whatever_happens_then(tmp_path):
    open_run(tmp_path / "run").close()
    assert RunFolder(tmp_path / "run").config() == config()
    with RunFolder(tmp_path / "run").take(config(), resume=True) as run:
        pass
    assert run.exists()


def test_a_refused_search_leaves_the_folder_to_the_one_that_has_it(tmp_path):
    holder = RunFolder(tmp_path / "run").take(config(), resume=False)
    other = RunFolder(tmp_path / "run")
    with pytest.raises(RunError, match="is in use by another search"):
        other.take(config(), resume=False)
    other.close()
    assert holder.path.is_dir()
    holder.close()


def test_a_folder_is_held_against_others_until_it_is_given_back(tmp_path):
    with open_run(tmp_path), pytest.raises(RunError, match="is in use by another search"):
        open_run(tmp_path, resume=True)
    again = open_run(tmp_path, resume=True)
    again.close()
    again.close()
    open_run(tmp_path, resume=True).close()


def test_a_folder_is_held_against_another_process_until_that_dies(tmp_path):
    command = [sys.executable, "-c", HOLD_IT, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(RunError, match="is in use by another search"):
                open_run(tmp_path, resume=True)
        finally:
            other.kill()  # nothing is tidied up, and the lock is free all the same
    open_run(tmp_path, resume=True).close()


def test_a_folder_without_a_run_has_no_configuration(tmp_path):
    assert not RunFolder(tmp_path).exists()
    with pytest.raises(RunError, match=r"holds no run \(there is no config.yaml in it\)"):
        RunFolder(tmp_path).config()


def test_a_damaged_configuration_is_refused_with_its_file(tmp_path):
    (tmp_path / CONFIG_FILE).write_text("data: digits\nspace: tiny\nsede: 1\n")
    with pytest.raises(ConfigError, match="unknown key 'sede'"):
        open_run(tmp_path, resume=True)

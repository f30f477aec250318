import json
import subprocess
import sys

import pytest
import yaml
from searches_by_hand import conditional_space

from ecoautoml.config import load_config
from ecoautoml.errors import ConfigError, RunError
from ecoautoml.spaces.load import load_space
from ecoautoml.study.run_folder import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    MAY_CHANGE,
    SPACE_FILE,
    MadeOf,
    RunFolder,
)

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


def environment(target="cpu", **facts):
    return {"seed": 3, "hardware": {"measured on": target}, **facts}


def open_run(path, *, resume=False, space=None, about=None, **changes):
    """Take the folder and begin a run in it, as a search does."""
    run = RunFolder(path).take(config(**changes), resume=resume)
    made_of = MadeOf(space=space or conditional_space(), environment=about or environment())
    try:
        run.begin(config(**changes), made_of)
    except RunError:
        run.close()
        raise
    return run


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != ".lock"}


def test_a_new_run_writes_what_it_was_made_with(tmp_path):
    with open_run(tmp_path / "a" / "run", seed=3) as run:
        assert run.exists()
        assert run.config() == config(seed=3)
        assert json.loads((run.path / ENVIRONMENT_FILE).read_text()) == environment()
        assert json.loads((run.path / SPACE_FILE).read_text())["builder"] == "python"
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
        ({"name": "other"}, "another name;"),  # its trials would be sought in another study
    ],
)
def test_a_changed_configuration_is_refused_and_the_keys_are_named(tmp_path, changes, named):
    open_run(tmp_path).close()
    before = (tmp_path / CONFIG_FILE).read_text()
    with pytest.raises(RunError, match=named) as caught:
        open_run(tmp_path, resume=True, **changes)
    allowed = "may only change budget, carbon, executor, keep_models, output"
    assert allowed in str(caught.value)
    assert (tmp_path / CONFIG_FILE).read_text() == before


def test_what_does_not_alter_a_trial_may_change(tmp_path):
    open_run(tmp_path).close()
    changes = {
        "budget": {"trials": 99},
        "executor": {"workers": 3},
        "output": "elsewhere",
        "keep_models": "all",
        "carbon": {"zone": "DE"},
    }
    assert set(changes) == MAY_CHANGE
    with open_run(tmp_path, resume=True, **changes) as run:
        assert run.config() == config(**changes)


def test_a_changed_space_is_refused_with_what_to_do_and_nothing_is_written(tmp_path):
    open_run(tmp_path).close()
    before = contents(tmp_path)
    values = {"builder": "python", "function": "nowhere:build", "width": {"low": 4, "high": 64}}
    other = load_space({"architecture": values, "hyperparameters": {"epochs": 3}})
    with pytest.raises(RunError, match=r"another version of the space .* --set name=OTHER"):
        open_run(tmp_path, resume=True, space=other)
    assert contents(tmp_path) == before
    open_run(tmp_path, resume=True).close()  # nothing is broken by having been refused


def test_a_space_survives_its_file_to_the_last_value(tmp_path):
    for space in ("tiny", "mobilenet_v3", "timm_zoo"):
        for resume in (False, True):
            open_run(tmp_path / space, space=load_space(space), resume=resume).close()
        assert (tmp_path / space / "environment_2.json").exists()  # the second session began


def test_another_target_is_refused_with_what_to_do_and_nothing_is_written(tmp_path):
    open_run(tmp_path, about=environment("cuda:0")).close()
    before = contents(tmp_path)
    with pytest.raises(RunError, match="was measured on cuda:0; resume it where there is one"):
        open_run(tmp_path, resume=True, about=environment("cpu"))
    assert contents(tmp_path) == before


def test_every_later_session_writes_an_environment_of_its_own(tmp_path):
    for session in (1, 2, 3):
        about = environment(session=session)
        open_run(tmp_path, resume=session > 1, about=about).close()
    names = [ENVIRONMENT_FILE, "environment_2.json", "environment_3.json"]
    written = [json.loads((tmp_path / name).read_text()) for name in names]
    assert [one["session"] for one in written] == [1, 2, 3]


def test_what_a_session_killed_while_it_began_left_does_not_count(tmp_path):
    (tmp_path / ENVIRONMENT_FILE).write_text(json.dumps(environment("cuda:0")))
    open_run(tmp_path, resume=True, about=environment("cpu")).close()
    open_run(tmp_path, resume=True, about=environment("cpu")).close()
    assert json.loads((tmp_path / ENVIRONMENT_FILE).read_text()) == environment("cpu")


@pytest.mark.parametrize("name", ["file", "file/run", "n" * 300], ids=["file", "below", "long"])
def test_a_path_that_cannot_be_written_is_refused_by_its_name(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"output: .* cannot be written \(.+\)"):
        RunFolder(tmp_path / name).take(config(), resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


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

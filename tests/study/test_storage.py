"""Databases that are locked, and studies that are somebody else's."""

import sqlite3
import threading
import warnings

import optuna
import pytest
from searches_by_hand import (
    LIMITS,
    TWO,
    conditional_space,
    mark,
    open_ledger,
    outcome,
    run_trials,
    sampler,
)
from spaces_for_tests import quick_config

from ecoautoml import search
from ecoautoml.config.load import load_config
from ecoautoml.errors import RunError
from ecoautoml.study import storage
from ecoautoml.study.ledger import Ledger


def impatient_ledger(folder):
    """Open a ledger whose driver does not wait for a lock itself."""
    url = f"sqlite:///{folder / 'ledger.db'}?timeout=0.01"
    return Ledger(url, "test", TWO, LIMITS)


def lock(folder):
    """Lock the database of a ledger and return what to close to unlock it."""
    connection = sqlite3.connect(folder / "ledger.db", check_same_thread=False)
    connection.execute("begin exclusive")
    return connection


def propose(ledger):
    return ledger.propose(conditional_space(), sampler("random"), 0)


# --- a database that does not answer --------------------------------------------------------------


def test_a_database_locked_for_a_moment_is_waited_for(tmp_path):
    ledger = impatient_ledger(tmp_path)
    result = outcome(propose(ledger))
    writes = {
        "result": lambda: ledger.record(result),
        "attribute": lambda: ledger.set_attribute("elapsed_s", 2.0),
        "trials": lambda: ledger.unfinished(),
    }
    for write in writes.values():
        locked = lock(tmp_path)
        unlocking = threading.Timer(0.3, locked.close)
        unlocking.start()
        write()
        unlocking.join()
    again = open_ledger(tmp_path)
    assert again.results() == [result]
    assert again.attribute("elapsed_s") == 2.0


def test_a_database_that_stays_locked_is_named_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE_S", 0.1)
    ledger = impatient_ledger(tmp_path)
    proposal = propose(ledger)
    locked = lock(tmp_path)
    message = r"the ledger sqlite:///.*ledger.db does not answer any more \(database is locked\)"
    for write in (
        lambda: ledger.record(outcome(proposal)),
        lambda: ledger.set_attribute("elapsed_s", 2.0),
        lambda: propose(ledger),
    ):
        with pytest.raises(RunError, match=message):
            write()
    locked.close()
    again = open_ledger(tmp_path)
    assert again.unfinished() == [proposal]
    again.record(outcome(proposal))
    assert propose(again).number == 1


def test_joules_that_cannot_be_written_in_between_are_written_the_next_time(tmp_path):
    ledger = impatient_ledger(tmp_path)
    propose(ledger)
    locked = lock(tmp_path)
    ledger.mark([mark(0, 2.0)])
    locked.close()
    assert open_ledger(tmp_path).interrupted_energy() == {}
    ledger.mark([mark(0, 3.0)])
    assert open_ledger(tmp_path).interrupted_energy()[0].energy_j == 3.0


# --- a study that is somebody else's --------------------------------------------------------------


def with_a_trial(study):
    study.add_trial(optuna.create_trial(values=[0.5, 1.0]))


def with_a_running_trial(study):
    study.ask()


def with_the_same_names(study):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(TWO))
    study.ask()


def with_an_attribute(study):
    study.set_user_attr("owner", "somebody")


def without_anything(study):
    pass


@pytest.mark.parametrize("is_read_only", [False, True])
@pytest.mark.parametrize(
    ("directions", "make"),
    [
        (["maximize", "minimize"], with_a_trial),
        (["maximize", "minimize"], with_a_running_trial),
        (["maximize", "minimize"], with_the_same_names),
        (["maximize", "minimize"], with_an_attribute),
        (["minimize", "minimize"], without_anything),
        (["maximize", "minimize", "minimize"], without_anything),
    ],
)
def test_a_foreign_study_is_refused_and_left_as_it_is(tmp_path, directions, make, is_read_only):
    file = tmp_path / "shared.db"
    url = f"sqlite:///{file}"
    make(optuna.create_study(storage=url, study_name="test", directions=directions))
    before = file.read_bytes()
    with pytest.raises(RunError, match="holds a study called test that was not made by a search"):
        Ledger(url, "test", TWO, LIMITS, is_read_only=is_read_only)
    assert file.read_bytes() == before


def test_a_study_that_was_not_named_before_a_kill_is_taken(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    optuna.create_study(storage=url, study_name="test", directions=["maximize", "minimize"])
    run_trials(open_ledger(tmp_path), 1, "random")
    assert optuna.load_study(storage=url, study_name="test").metric_names == list(TWO)


def test_two_searches_share_a_database_under_two_names(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    one, other = (Ledger(url, name, TWO, LIMITS) for name in ("one", "other"))
    for _ in range(2):
        run_trials(one, 1, "random")
        run_trials(other, 1, "random", seed=1)
    assert [result.number for result in one.results()] == [0, 1]
    assert [result.number for result in other.results()] == [0, 1]
    assert one.results() != other.results()


def test_a_new_search_is_refused_a_name_that_its_storage_holds(tmp_path):
    file = tmp_path / "shared.db"
    config = quick_config(tmp_path, storage=f"sqlite:///{file}")
    objectives = load_config(config).objectives
    run_trials(Ledger(config["storage"], "quick", objectives), 1, "random")
    before = file.read_bytes()
    with pytest.raises(RunError, match=r"shared\.db already holds a study called quick"):
        search(config)
    assert file.read_bytes() == before

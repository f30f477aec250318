"""A whole search in which the pruner stops trials, and the same search in shadow."""

import optuna
import pytest
from spaces_for_tests import net_space, quick_config

from ecoautoml import SearchResult, search
from ecoautoml.records.trial_result import TrialState

pytestmark = pytest.mark.slow

EPOCHS = 5
USELESS = 1e-9
"""A learning rate with which nothing is learnt."""


def searched(folder, *, is_shadow) -> SearchResult:
    """Search over one network that either learns or does not, so that all cost the same."""
    space = net_space(width=8)
    space["hyperparameters"] = {
        "learning_rate": [0.02, USELESS],
        "weight_decay": {"low": 1e-6, "high": 1e-3, "log": True},
        "batch_size": 32,
        "augmentation": "none",
    }
    changes = {
        "space": space,
        "objectives": ["validation_accuracy", "macs"],
        "sampler": "random",
        "seed": 0,  # something useful first, and something useless after it
        "training": {"epochs": EPOCHS},
        "budget": {"trials": 3},
        "measure": {"max_seconds": 0.1},  # joules decide nothing here
        "pruner": {
            "kind": "dominance",
            "shadow": is_shadow,
            "min_curves": 1,
            "warmup_fraction": 0.0,
            "margin": 0.2,  # models that do learn differ by less
        },
    }
    return search(quick_config(folder, **changes))


@pytest.fixture(scope="module")
def stopping(tmp_path_factory) -> SearchResult:
    return searched(tmp_path_factory.mktemp("stopping"), is_shadow=False)


@pytest.fixture(scope="module")
def pruned(stopping):
    return [one for one in stopping.results if one.state is TrialState.PRUNED]


def test_trials_out_of_reach_are_stopped_before_their_end_and_no_others(stopping, pruned):
    assert pruned
    for one in pruned:
        assert one.candidate.hyperparameters["learning_rate"] == USELESS
        assert 1 <= one.epochs < EPOCHS
        assert one.reason.startswith(f"after epoch {one.epochs} of {EPOCHS} at best ")
        assert one.reason.endswith(" for no more cost")
    others = [one for one in stopping.results if one not in pruned]
    assert others
    assert {one.state for one in others} == {TrialState.COMPLETE}
    assert {one.epochs for one in others} == {EPOCHS}


def test_the_joules_of_stopped_trials_are_on_the_bill(stopping, pruned):
    (item,) = [item for item in stopping.bill.items if item.kind == "pruned"]
    assert item.n_trials == len(pruned)
    assert item.energy_j == pytest.approx(sum(one.energy_j for one in pruned))
    for one in pruned:
        assert next(each for each in one.energy if each.line == "training").energy_j > 0
        assert not {"export", "evaluation"} & {each.line for each in one.energy}


def test_nothing_else_is_left_of_a_stopped_trial(stopping, pruned):
    numbers = {one.number for one in pruned}
    assert not numbers & set(stopping.front["trial"])
    assert not numbers & set(stopping.trials.dropna(subset=["test_accuracy"])["trial"])
    for number in numbers:
        assert not (stopping.folder / "models" / f"trial_{number:04d}").exists()


def test_optuna_knows_them_as_pruned(stopping, pruned):
    storage = f"sqlite:///{stopping.folder / 'ledger.db'}"
    study = optuna.load_study(study_name=stopping.config.name, storage=storage)
    told = [one.number for one in study.trials if one.state is optuna.trial.TrialState.PRUNED]
    assert told == [one.number for one in pruned]


def test_in_shadow_the_same_trials_are_noted_and_run_to_their_end(tmp_path, pruned):
    result = searched(tmp_path, is_shadow=True)
    assert {one.state for one in result.results} == {TrialState.COMPLETE}
    assert {one.epochs for one in result.results} == {EPOCHS}
    noted = {
        one.number: one.would_have_stopped
        for one in result.results
        if one.would_have_stopped is not None
    }
    assert noted == {one.number: one.epochs for one in pruned}
    assert result.pruner_check.would_have_stopped == len(noted) >= 1
    assert result.pruner_check.on_front == 0  # they learnt nothing indeed

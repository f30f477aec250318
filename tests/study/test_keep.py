from dataclasses import replace

import pytest

from ecoautoml.config.models import SearchConfig
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.study.keep import discard_models, discard_paused
from ecoautoml.study.standing import front_numbers

OBJECTIVES = ("validation_accuracy", "inference_energy_j")
NOBODY = Candidate(space="s", builder="b", architecture={}, hyperparameters={})


def result(number, accuracy, energy_j, state=TrialState.COMPLETE):
    values = zip(OBJECTIVES, (accuracy, energy_j), strict=True)
    metrics = {name: value for name, value in values if value is not None}
    return TrialResult(number=number, state=state, candidate=NOBODY, metrics=metrics)


RESULTS = [
    result(0, 0.90, 3.0),
    result(1, 0.95, 5.0),
    result(2, 0.85, 4.0),  # beaten by 0
    result(3, 0.99, 1.0, TrialState.INFEASIBLE),
    result(4, 0.99, 1.0, TrialState.PRUNED),
    result(5, 0.99, 1.0, TrialState.REUSED),
    result(6, 0.99, None),
    result(7, 0.90, 3.0),  # equal to 0
    result(8, None, None, TrialState.FAILED),
]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a model of each trial, and of one that is still running."""
    for number in range(10):
        trial = tmp_path / f"trial_{number:04d}"
        trial.mkdir()
        (trial / "model.onnx").write_text("weights")
    return tmp_path


def config(keep_models="front"):
    return SearchConfig(data="digits", space="tiny", objectives=OBJECTIVES, keep_models=keep_models)


def kept(folder):
    return {int(path.name.removeprefix("trial_")) for path in folder.iterdir()}


def test_the_front_is_made_of_complete_trials_whose_objectives_are_known():
    assert front_numbers(RESULTS, OBJECTIVES) == {0, 1, 7}
    assert front_numbers([], OBJECTIVES) == set()
    assert front_numbers(RESULTS[3:5], OBJECTIVES) == set()


def test_the_front_follows_the_objectives():
    assert front_numbers(RESULTS, OBJECTIVES[:1]) == {6}
    assert front_numbers(RESULTS, OBJECTIVES[1:]) == {0, 7}


def test_models_off_the_front_are_deleted_and_those_still_running_are_left(folder):
    discard_models(folder, RESULTS, config(), frozenset())
    assert kept(folder) == {0, 1, 7, 9}


def test_every_complete_model_may_be_kept(folder):
    discard_models(folder, RESULTS, config("all"), frozenset())
    assert kept(folder) == {0, 1, 2, 6, 7, 9}


def test_a_model_goes_when_it_is_beaten_and_a_second_look_changes_nothing(folder):
    discard_models(folder, RESULTS[:2], config(), frozenset())
    assert {0, 1} <= kept(folder)
    better = [*RESULTS[:2], result(9, 0.96, 2.0)]
    for _ in range(2):
        discard_models(folder, better, config(), frozenset())
        assert kept(folder) & {0, 1, 9} == {9}


def test_a_model_that_lost_when_measured_in_turn_goes(folder):
    discard_models(folder, RESULTS, config(), frozenset({1}))
    assert kept(folder) == {0, 7, 9}


def test_a_folder_without_models_is_no_trouble(tmp_path):
    discard_models(tmp_path / "nowhere", RESULTS, config(), frozenset())
    assert list(tmp_path.iterdir()) == []


def test_of_paused_trainings_the_last_checkpoint_is_kept_until_they_have_ended(tmp_path):
    for name in (
        "trial_0000_epoch_0001.pt",  # ended
        "trial_0000_epoch_0003.pt.part",
        "trial_0001_epoch_0001.pt",  # paused after the third epoch
        "trial_0001_epoch_0003.pt",
        "trial_0002_epoch_0001.pt",  # runs, and has just written its next checkpoint
        "trial_0002_epoch_0003.pt",
    ):
        (tmp_path / name).write_text("weights")
    paused = replace(result(1, None, 3.0, TrialState.PAUSED), epochs=3)
    discard_paused(tmp_path, RESULTS[:1], [paused])
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "trial_0001_epoch_0003.pt",
        "trial_0002_epoch_0001.pt",
        "trial_0002_epoch_0003.pt",
    ]

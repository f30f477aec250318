"""Trainings that are paused, and gone on with later."""

import pytest
import torch
from spaces_for_tests import net_space
from trials_in_process import answering, job_for, only_candidate, trial_parts

from ecoautoml.models.checkpoint import load_checkpoint
from ecoautoml.records.energy_reading import total_energy_j
from ecoautoml.records.progress import CONTINUE, Action, Decision
from ecoautoml.records.trial_result import TrialState
from ecoautoml.trial.parts import model_folder
from ecoautoml.trial.pausing import pause_file
from ecoautoml.trial.run import run_trial

EPOCHS = 4
SETTINGS = [
    {},
    {"optimizer": "sgd", "momentum": 0.9, "schedule": "step", "ema_decay": 0.9},
    {"optimizer": "rmsprop", "mixup": 0.4, "label_smoothing": 0.1},
    {"optimizer": "nadamw", "schedule": "none", "augmentation": "shift_flip_erase"},
    {"precision": "bf16", "low_precision_from": 0.5, "accumulation": 2, "trainable": "last_half"},
    {"subset_fraction": 0.3, "subset_until": 0.6, "channels_last": False, "optimizer": "lion"},
]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def parts(tmp_path):
    return trial_parts(tmp_path, epochs=EPOCHS, patience=None)


def candidate(**settings):
    return only_candidate(net_space(width=4), learning_rate=5e-3, **settings)


def until(epoch, action=Action.PAUSE):
    """Return a messenger that lets a trial go on to the end of an epoch."""
    last = Decision(action=action, reason="enough")
    return answering(lambda progress: last if progress.epoch == epoch else CONTINUE)


def weights(parts):
    model = load_checkpoint(model_folder(parts.models_folder, 0))
    return torch.cat([each.flatten().float() for each in model.state_dict().values()])


def accuracies(result):
    return [each.metrics.get("validation_accuracy") for each in result.curve]


@pytest.mark.parametrize(
    "settings", SETTINGS, ids=["adamw", "sgd", "rmsprop", "nadamw", "low", "subset"]
)
def test_a_training_paused_twice_ends_as_one_that_was_not(parts, settings):
    one = candidate(**settings)
    whole = run_trial(job_for(one, EPOCHS), parts, answering())
    weights_of_whole = weights(parts)
    first = run_trial(job_for(one, EPOCHS), parts, until(1))
    torch.manual_seed(77)  # whatever the worker does meanwhile
    second = run_trial(job_for(one, EPOCHS, before=first), parts, until(3))
    last = run_trial(job_for(one, EPOCHS, before=second), parts, answering())
    assert [each.state for each in (whole, first, second, last)] == [
        TrialState.COMPLETE,
        TrialState.PAUSED,
        TrialState.PAUSED,
        TrialState.COMPLETE,
    ], last.details
    assert [len(each.curve) for each in (first, second, last)] == [2, 4, 5]
    assert accuracies(last) == accuracies(whole)
    assert torch.equal(weights(parts), weights_of_whole)


def test_a_trial_paused_after_its_probe_begins_later_without_another_probe(parts):
    one = candidate()
    probed = run_trial(job_for(one, EPOCHS), parts, until(0))
    assert (probed.state, probed.epochs, len(probed.curve)) == (TrialState.PAUSED, 0, 1)
    whole = run_trial(job_for(one, EPOCHS, before=probed), parts, answering())
    assert whole.state is TrialState.COMPLETE, whole.details
    assert whole.probe == probed.probe
    assert [each.epoch for each in whole.curve] == [0, 1, 2, 3, 4]


def test_joules_and_seconds_of_all_attempts_are_on_the_bill(parts):
    one = candidate()
    first = run_trial(job_for(one, EPOCHS), parts, until(2))
    last = run_trial(job_for(one, EPOCHS, before=first), parts, answering())
    before, after = ({line.line: line for line in each.energy} for each in (first, last))
    assert {"pausing", "probe", "training"} <= set(before)
    assert set(after) >= {*before, "going on"}
    for name in ("probe", "pausing"):
        assert after[name] == before[name]
    for name in ("training", "validation"):
        assert after[name].energy_j > before[name].energy_j
    assert last.duration_s > first.duration_s
    assert last.metrics["training_energy_j"] == after["training"].energy_j
    assert last.curve[-1].energy_j > first.curve[-1].energy_j


def test_an_attempt_that_is_interrupted_bills_itself_alone(parts):
    one = candidate()
    first = run_trial(job_for(one, EPOCHS), parts, until(2))
    again = run_trial(job_for(one, EPOCHS, before=first), parts, until(3, Action.INTERRUPT))
    assert again.state is TrialState.INTERRUPTED
    assert "probe" not in {line.line for line in again.energy}
    assert total_energy_j(again.energy) < total_energy_j(first.energy)
    last = run_trial(job_for(one, EPOCHS, before=first), parts, answering())
    assert accuracies(last) == accuracies(run_trial(job_for(one, EPOCHS), parts, answering()))


def test_a_training_whose_second_pause_was_not_written_down_goes_on_from_the_first(parts):
    """The search was killed after the worker had written its checkpoint."""
    one = candidate()
    whole = run_trial(job_for(one, EPOCHS), parts, answering())
    first = run_trial(job_for(one, EPOCHS), parts, until(1))
    run_trial(job_for(one, EPOCHS, before=first), parts, until(3))
    reported = []
    last = run_trial(
        job_for(one, EPOCHS, before=first),
        parts,
        answering(lambda progress: reported.append(progress.epoch) or CONTINUE),
    )
    assert reported == [2, 3, 4]
    assert accuracies(last) == accuracies(whole)


@pytest.mark.parametrize("damage", ["gone", "cut", "another"])
def test_a_training_whose_checkpoint_is_lost_begins_again(parts, damage):
    one = candidate()
    first = run_trial(job_for(one, EPOCHS), parts, until(2))
    file = pause_file(parts.paused_folder, 0, 2)
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:500])
    else:
        run_trial(job_for(one, EPOCHS), parts, until(1))
        pause_file(parts.paused_folder, 0, 1).replace(file)
    last = run_trial(job_for(one, EPOCHS, before=first), parts, answering())
    assert last.state is TrialState.COMPLETE, last.details
    assert [each.epoch for each in last.curve] == [0, 1, 2, 3, 4]
    whole = run_trial(job_for(one, EPOCHS), parts, answering())
    assert accuracies(last) == accuracies(whole)
    assert {line.line: line.energy_j for line in last.energy}["training"] > 0


def test_a_plateau_is_told_over_the_pause(parts):
    """The best accuracy may lie before the pause."""
    parts = trial_parts(parts.models_folder.parent, epochs=EPOCHS + 20, patience=3)
    one = only_candidate(net_space(width=4), learning_rate=1e-12, augmentation="none")
    whole = run_trial(job_for(one, EPOCHS + 20), parts, answering())
    first = run_trial(job_for(one, EPOCHS + 20), parts, until(whole.epochs - 1))
    last = run_trial(job_for(one, EPOCHS + 20, before=first), parts, answering())
    assert last.epochs == whole.epochs < EPOCHS + 20
    assert accuracies(last) == accuracies(whole)


def test_the_space_may_say_how_long_a_plateau_may_be(tmp_path):
    parts = trial_parts(tmp_path, epochs=8, patience=3)

    def epochs_and_accuracies(**searched):
        one = only_candidate(net_space(width=4), learning_rate=1e-12, **searched)
        result = run_trial(job_for(one, 8), parts, answering())
        assert result.state is TrialState.COMPLETE, result.details
        return result.epochs, accuracies(result)[1:]

    whole, found = epochs_and_accuracies(patience=0)  # never, whatever the configuration says
    assert whole == 8
    for searched, patience in (({"patience": 1}, 1), ({}, 3)):
        plateaus = [n for n in range(1, 9) if n - 1 - found.index(max(found[:n])) >= patience]
        expected = min(plateaus, default=8)
        assert epochs_and_accuracies(**searched) == (expected, found[:expected])
        assert expected < 8

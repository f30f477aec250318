"""One whole trial, in this process: when its training ends."""

import pytest
from spaces_for_tests import net_space
from trials_in_process import answering, job_for, only_candidate, trial_parts

from ecoautoml.records.trial_result import TrialState
from ecoautoml.trial.run import run_trial

LEARNS_NOTHING = 1e-12
EPOCHS = 30


@pytest.fixture
def trained(tmp_path, one_thread):
    """Return a function that runs a trial whose weights stay as they are."""

    def run(patience):
        parts = trial_parts(tmp_path, epochs=EPOCHS, patience=patience)
        space = net_space(width=4)
        one = only_candidate(space, learning_rate=LEARNS_NOTHING, augmentation="none")
        return run_trial(job_for(one, EPOCHS), parts, answering())

    return run


def accuracies(result):
    """Return the validation accuracy after each epoch."""
    return [each.metrics["validation_accuracy"] for each in result.curve if each.epoch > 0]


@pytest.mark.parametrize("patience", [1, 3])
def test_a_trial_ends_on_a_plateau_and_is_complete(trained, patience):
    result = trained(patience)
    seen = accuracies(result)
    best_epoch = 1 + seen.index(max(seen))
    assert result.epochs == len(seen) == best_epoch + patience
    assert result.epochs < EPOCHS
    assert result.state is TrialState.COMPLETE


def test_without_patience_a_plateau_ends_nothing(trained):
    result = trained(None)
    seen = accuracies(result)
    assert EPOCHS - seen.index(max(seen)) > 10  # a plateau longer than the usual patience of 8
    assert result.epochs == len(seen) == EPOCHS

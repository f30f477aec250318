"""One whole trial, in this process: when its training ends."""

from functools import partial

import pytest
import torch
from spaces_for_tests import net_space, quick_config

from ecoautoml.config import load_config
from ecoautoml.data import prepare_data
from ecoautoml.data.tensors import TensorCache
from ecoautoml.energy.select import open_meters
from ecoautoml.records.progress import CONTINUE
from ecoautoml.records.trial_result import TrialJob, TrialState
from ecoautoml.spaces.load import load_space
from ecoautoml.spaces.random import random_candidate
from ecoautoml.trial.parts import Messenger, TrialParts
from ecoautoml.trial.run import run_trial

LEARNS_NOTHING = 1e-12
EPOCHS = 30


@pytest.fixture
def one_thread():
    """Train on one thread, as workers do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def trained(tmp_path, one_thread):
    """Return a function that runs a trial whose weights stay as they are."""

    def run(patience):
        measure = {"max_seconds": 0.1, "precision": 0.5, "meter": "cpu_time"}
        training = {"epochs": EPOCHS, "patience": patience}
        config = load_config(quick_config(tmp_path, training=training, measure=measure))
        prepared = prepare_data(config.data, tmp_path / "data")
        parts = TrialParts(
            config=config,
            prepared=prepared,
            images=TensorCache(prepared, 2**28),
            open_meters=partial(open_meters, config.measure.meter, "cpu"),
            target="cpu",
            device="cpu",
            models_folder=tmp_path / "models",
        )
        space = net_space(width=4)
        space["hyperparameters"] = {"learning_rate": LEARNS_NOTHING, "augmentation": "none"}
        one = random_candidate(load_space(space), seed=0)  # the only one there is
        job = TrialJob(number=0, candidate=one, seed=0, epochs=EPOCHS)
        return run_trial(job, parts, Messenger(report=lambda _: CONTINUE, check=lambda: None))

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

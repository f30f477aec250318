import dataclasses

import pytest

from ecoautoml.config.models import TrainingConfig
from ecoautoml.records.candidate import Candidate
from ecoautoml.spaces.vocabulary import HYPERPARAMETERS
from ecoautoml.trial.settings import TrainingSettings, epochs_for, patience_for, settings_for

OF_THE_NETWORK = {"drop_path", "dropout"}
"""Hyperparameters that a builder reads."""


def candidate(**hyperparameters):
    return Candidate(space="s", builder="b", architecture={}, hyperparameters=hyperparameters)


def test_what_the_space_does_not_search_has_its_default():
    assert settings_for(candidate(), 3) == TrainingSettings(epochs=3)


def test_what_the_space_searches_is_taken():
    values = {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "momentum": 0.5,
        "batch_size": 16,
        "schedule": "step",
        "warmup_epochs": 1,
        "label_smoothing": 0.1,
        "augmentation": "shift",
        "mixup": 0.2,
        "ema_decay": 0.99,
        "precision": "bf16",
        "low_precision_from": 0.5,
        "accumulation": 2,
        "channels_last": False,
        "progressive_resolution": 0.5,
        "trainable": "head",
        "subset_fraction": 0.5,
        "subset_until": 0.4,
        "patience": 0,
    }
    assert set(values) == set(HYPERPARAMETERS) - OF_THE_NETWORK - {"epochs"}
    assert settings_for(candidate(**values), 7) == TrainingSettings(**values, epochs=7)


def test_every_hyperparameter_of_a_space_is_understood_here_or_by_the_network():
    known = {field.name for field in dataclasses.fields(TrainingSettings)}
    assert known == set(HYPERPARAMETERS) - OF_THE_NETWORK


def test_null_means_the_default_and_other_names_are_left_to_others():
    settings = settings_for(candidate(learning_rate=None, dropout=0.5, own_value="x"), 1)
    assert settings == TrainingSettings(epochs=1)


def test_the_epochs_asked_for_win_over_those_of_the_space():
    assert settings_for(candidate(epochs=9), 2).epochs == 2


@pytest.mark.parametrize(
    ("configured", "searched", "epochs"),
    [(None, {}, 5), (None, {"epochs": 9}, 9), (3, {"epochs": 9}, 3), (3, {}, 3)],
)
def test_epochs_come_from_the_configuration_then_from_the_space(configured, searched, epochs):
    assert epochs_for(candidate(**searched), TrainingConfig(epochs=configured)) == epochs


@pytest.mark.parametrize(
    ("configured", "searched", "patience"),
    [
        (8, {}, 8),
        (None, {}, None),
        (8, {"patience": 2}, 2),
        (None, {"patience": 2}, 2),
        (8, {"patience": 0}, None),
        (8, {"patience": None}, 8),
    ],
)
def test_patience_comes_from_the_space_then_from_the_configuration(configured, searched, patience):
    config = TrainingConfig(patience=configured)
    assert patience_for(candidate(**searched), config) == patience

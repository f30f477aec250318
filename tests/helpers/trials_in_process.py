"""Whole trials, run in this process."""

from functools import partial

from spaces_for_tests import quick_config

from ecoautoml.config import load_config
from ecoautoml.data import prepare_data
from ecoautoml.data.tensors import TensorCache
from ecoautoml.energy.select import open_meters
from ecoautoml.records.progress import CONTINUE
from ecoautoml.records.trial_result import TrialJob
from ecoautoml.spaces.load import load_space
from ecoautoml.spaces.random import random_candidate
from ecoautoml.trial.parts import Messenger, TrialParts


def trial_parts(folder, **training):
    """Return what trials on the digits need."""
    measure = {"max_seconds": 0.1, "precision": 0.5, "meter": "cpu_time"}
    config = load_config(quick_config(folder, training=training, measure=measure))
    prepared = prepare_data(config.data, folder / "data")
    return TrialParts(
        config=config,
        prepared=prepared,
        images=TensorCache(prepared, 2**28),
        open_meters=partial(open_meters, config.measure.meter, "cpu"),
        target="cpu",
        device="cpu",
        models_folder=folder / "models",
        paused_folder=folder / "paused",
    )


def only_candidate(space, **hyperparameters):
    """Return the candidate of a space in which nothing varies."""
    space = {**space, "hyperparameters": hyperparameters}
    return random_candidate(load_space(space), seed=0)


def job_for(candidate, epochs, **more):
    return TrialJob(number=0, candidate=candidate, seed=0, epochs=epochs, **more)


def answering(report=lambda progress: CONTINUE, check=lambda: None):
    return Messenger(report=report, check=check)

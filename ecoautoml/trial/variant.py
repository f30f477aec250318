"""A trial that takes the network trained in another, and makes something else of it."""

from __future__ import annotations

from ecoautoml.models.checkpoint import load_checkpoint
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.trial.bench import Bench, counted
from ecoautoml.trial.compressing import compressed, trained_folder
from ecoautoml.trial.deployment import deploy
from ecoautoml.trial.parts import Messenger, model_folder


def run_variant(bench: Bench, messenger: Messenger) -> TrialResult:
    """Return the result of a variant; only its own steps are on its bill.

    Raises:
        RunError: The trained network is no longer there.
    """
    assert bench.job.parent is not None
    with bench.log.line("loading"):
        model = load_checkpoint(
            trained_folder(model_folder(bench.parts.models_folder, bench.job.parent))
        )
        if bench.parts.target != "cpu":
            model.to(bench.parts.target)
    messenger.check()
    model = compressed(bench, model, messenger)
    return deploy(bench, model, counted(model, bench))

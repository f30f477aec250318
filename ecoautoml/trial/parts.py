"""The parts a trial works with, made once per worker and passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ecoautoml.config.models import SearchConfig
from ecoautoml.data.prepared import PreparedData
from ecoautoml.data.tensors import TensorCache
from ecoautoml.energy.select import MeterSet
from ecoautoml.records.progress import Decision, Progress
from ecoautoml.trial.traces import TraceCache


class TrialStoppedError(Exception):
    """Raised inside a trial that was told to stop; carries the decision."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.reason or decision.action.value)
        self.decision = decision


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialParts:
    """What every trial of a search shares.

    Attributes:
        config: The search's configuration.
        prepared: The images on disk.
        images: The same in memory, by split and resolution.
        open_meters: Opens the energy meters afresh, so that a replayed trace starts anew with
            every trial.
        target: Device models are measured on: "cpu" or "cuda:N".
        device: Device models are trained on.
        models_folder: Where trained models are written, one folder per trial.
        paused_folder: Where paused trainings are written, one file per pause.
        traces: Graphs of networks traced lately.
    """

    config: SearchConfig
    prepared: PreparedData
    images: TensorCache
    open_meters: Callable[[], MeterSet]
    target: str
    device: str
    models_folder: Path
    paused_folder: Path
    traces: TraceCache = field(default_factory=TraceCache)


@dataclass(frozen=True, slots=True, kw_only=True)
class Messenger:
    """How a running trial talks to the search.

    Attributes:
        report: Sends progress and returns the decision.
        check: Raises `TrialStoppedError` when the search has asked to stop meanwhile; cheap
            enough to call between training steps.
    """

    report: Callable[[Progress], Decision]
    check: Callable[[], None]


def model_folder(models_folder: Path, number: int) -> Path:
    """Return the folder of one trial's model."""
    return models_folder / f"trial_{number:04d}"

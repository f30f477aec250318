"""What crosses the line between the main process and a worker, beside the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecoautoml.config.models import SearchConfig
from ecoautoml.data.prepared import PreparedData
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.trial_result import TrialJob


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What a worker needs before its first task.

    Attributes:
        config: The search's configuration.
        prepared: The images on disk.
        target: Device models are measured on, resolved: "cpu" or "cuda:N".
        runtimes: Runtimes the space may name; a worker refuses to start when one cannot run here.
        models_folder: Where trained models are written.
        paused_folder: Where paused trainings are written.
        memory_bytes: Memory the worker may use; None: no limit is set.
        idle_w: Idle watts of the machine by component, as measured before the workers were started.
    """

    config: SearchConfig
    prepared: PreparedData
    target: str
    runtimes: tuple[str, ...]
    models_folder: Path
    paused_folder: Path
    memory_bytes: int | None
    idle_w: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A worker has set itself up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrial:
    """Run one trial; answered by reports and one `TrialResult`."""

    job: TrialJob


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOnTest:
    """Score exported models on the test split; answered by accuracies by trial number."""

    candidates: dict[int, Candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureInTurn:
    """Measure exported models in rounds; answered by a `Ranking`."""

    candidates: dict[int, Candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAheadAt:
    """Train a few steps of some candidates; answered by `LookAhead`."""

    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """A task raised; one sentence and the traceback."""

    reason: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quit:
    """End the worker."""

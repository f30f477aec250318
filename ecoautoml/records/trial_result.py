"""A trial: what to run, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.energy_reading import EnergyLine, Provenance, total_energy_j, weakest
from ecoautoml.records.measurement import InferenceMeasurement
from ecoautoml.records.progress import Action, Progress

OUT_OF_MEMORY = "out of memory"
"""How the reason of a trial that ran out of memory begins."""


class TrialState(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PAUSED = "paused"
    """Its training was halted at a checkpoint; it may go on from there later."""
    PRUNED = "pruned"
    STOPPED = "stopped"
    """The budget was spent before it ended; what it would have become is unknown."""
    INFEASIBLE = "infeasible"
    """A constraint was violated; when it was known before training, nothing was trained."""
    FAILED = "failed"
    REUSED = "reused"
    """The same candidate had been run before: its result was taken, nothing was spent."""
    INTERRUPTED = "interrupted"
    """The search ended first; a resumed search runs it again."""


STATE_AFTER: dict[Action, TrialState] = {
    Action.PAUSE: TrialState.PAUSED,
    Action.PRUNE: TrialState.PRUNED,
    Action.STOP: TrialState.STOPPED,
    Action.INTERRUPT: TrialState.INTERRUPTED,
}
"""What a trial is, once it was told to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is known of a candidate before it is trained.

    Attributes:
        params: Number of trainable parameters.
        macs: Multiply-accumulate operations per image.
        size_bytes: Size of the exported file.
        inference: Energy and latency of the exported, untrained model on the target.
        synflow: Score of the untrained network (`ecoautoml.models.zero_cost`); None: not asked for,
            or it has none.
    """

    params: int
    macs: int
    size_bytes: int
    inference: InferenceMeasurement
    synflow: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJob:
    """One trial to run; all a worker needs beside what every trial shares.

    Attributes:
        number: Trial number in the ledger.
        candidate: What to build and train.
        seed: Seed of this trial's random numbers.
        epochs: Epochs to train for.
        probe: The probe of an equal architecture, when one was made before; else None.
        before: What it had done when it was paused, to go on from there; None: it begins.
        parent: Number of the trial whose trained network it compresses or exports otherwise;
            None: it trains one of its own.
        teacher: Number of the most accurate trial whose network is kept, to learn from; None:
            there is none yet.
    """

    number: int
    candidate: Candidate
    seed: int
    epochs: int
    probe: Probe | None = None
    before: TrialResult | None = None
    parent: int | None = None
    teacher: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What came out of one trial.

    Attributes:
        number: Trial number in the ledger.
        state: How it ended.
        candidate: What was run.
        reason: Why it did not complete, or was reused; one sentence.
        details: A traceback, when there is one.
        metrics: Final values by column name (scores of the exported model; costs).
        constraints: Value of each constraint by its text; above 0 means violated.
        probe: What was known before training.
        inference: The measurement of the trained, exported model.
        final: The measurement in turn with the other models of the front, when it was one of them.
        ties_with: Trials measured in turn with it, from whose joules its own cannot be told.
        other_batches: The trained model at `measure.other_batch_sizes`.
        energy: The bill, line by line.
        curve: Reports of the trial, oldest first.
        duration_s: Seconds from start to end.
        epochs: Epochs trained.
        reused_from: Number of the trial whose result this is.
        would_have_stopped: First epoch at which a shadowing pruner would have stopped it.
        codecarbon_j: What CodeCarbon says the training took, where it was asked too.
        parent: Number of the trial whose trained network this is a variant of; None: it trained
            its own. What that training took is on the parent's bill alone.
    """

    number: int
    state: TrialState
    candidate: Candidate
    reason: str | None = None
    details: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    probe: Probe | None = None
    inference: InferenceMeasurement | None = None
    final: InferenceMeasurement | None = None
    ties_with: tuple[int, ...] = ()
    other_batches: tuple[InferenceMeasurement, ...] = ()
    energy: tuple[EnergyLine, ...] = ()
    curve: tuple[Progress, ...] = ()
    duration_s: float = 0.0
    epochs: int = 0
    reused_from: int | None = None
    would_have_stopped: int | None = None
    codecarbon_j: float | None = None
    parent: int | None = None

    @property
    def energy_j(self) -> float | None:
        """Return all joules of this trial, None when unknown."""
        return total_energy_j(self.energy)

    @property
    def energy_provenance(self) -> Provenance | None:
        """Return the weakest provenance on this trial's bill."""
        return weakest(line.provenance for line in self.energy)

    @property
    def is_feasible(self) -> bool:
        """Return whether no constraint is violated."""
        return all(value <= 0 for value in self.constraints.values())

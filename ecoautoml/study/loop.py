"""The loop of a search: the `Driver` an executor works for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ecoautoml.config.models import SearchConfig
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.energy_reading import EnergyLine, Provenance, total_billed_j, weakest
from ecoautoml.records.progress import CONTINUE, Action, Decision, EnergyMark, Progress
from ecoautoml.records.trial_result import Probe, TrialJob, TrialResult, TrialState
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.strategies.base import Pruner
from ecoautoml.strategies.samplers import derive_seed
from ecoautoml.study.budget import Spent, exhausted, has_trials_left, time_left_s
from ecoautoml.study.ledger import Ledger, Proposal
from ecoautoml.study.session import Session
from ecoautoml.study.standing import Standing, standing

MAX_REPEATS = 60
"""Proposals in a row that were run before, after which the space counts as exhausted."""
MAX_EQUAL_FAILURES = 12
"""Failures in a row for the same reason, with nothing ever completed, that end a search."""
SAYS_NOTHING = (TrialState.REUSED, TrialState.STOPPED, TrialState.INTERRUPTED)
"""States whose results are not those of the candidate itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an observer sees: everything read-only.

    Attributes:
        results: Finished trials.
        running: Last report of each running trial, by number (None before its first).
        spent: What has been spent.
        provenance: Weakest provenance among the joules spent.
        front_size: Models on the front.
        hypervolume: See `ecoautoml.study.standing`.
        left_s: Seconds until the budget is spent, at the present pace; None when unknown.
        event: What has just happened, one line; None for a tick.
    """

    results: Sequence[TrialResult]
    running: dict[int, Progress | None]
    spent: Spent
    provenance: Provenance | None
    front_size: int
    hypervolume: float | None
    left_s: float | None
    event: str | None = None


Observer = Callable[[Snapshot], None]


@dataclass(kw_only=True)
class SearchLoop:
    """Answers an executor's questions; keeps the ledger.

    Args:
        config: The search's configuration.
        space: Where candidates come from.
        ledger: Where everything is written.
        pruner: What stops trials early.
        epochs_for: Epochs of a candidate.
        session: Joules that belong to no trial (look ahead, worker starts, ...).
        observer: Called after every event and report, and every 2 s.
        should_interrupt: Whether the user has asked to stop.
    """

    config: SearchConfig
    space: SearchSpace
    ledger: Ledger
    pruner: Pruner
    epochs_for: Callable[[Proposal], int]
    session: Session
    observer: Observer
    should_interrupt: Callable[[], bool]
    earlier: Spent
    _started_s: float = field(default_factory=time.monotonic)
    _curves: dict[int, list[Progress]] = field(default_factory=dict)
    _running: dict[int, Candidate] = field(default_factory=dict)
    _waiting: list[Proposal] = field(default_factory=list)
    _marks: dict[int, EnergyMark] = field(default_factory=dict)
    _would_have_stopped: dict[int, int] = field(default_factory=dict)
    _requeued: list[Proposal] = field(default_factory=list)
    _limit: str | None = None
    _standing: Standing = field(default_factory=lambda: Standing(0, None))

    def __post_init__(self) -> None:
        config = self.config
        self._requeued = self.ledger.unfinished()
        self._standing = standing(self.ledger.results(), config.objectives)

    # --- the executor's questions ---------------------------------------------------------------

    def ask(self) -> TrialJob | None:
        """Return the next trial to run, None when there is none left to start."""
        repeats = 0
        while self._may_start():
            proposal = self._next()
            before = self._same_as(proposal)
            if before is not None:
                self._reuse(proposal, before)
            elif self._is_running(proposal):
                self._waiting.append(proposal)
            else:
                return self._start(proposal)
            repeats += 1
            if repeats >= MAX_REPEATS:
                self._notify(f"the last {repeats} proposals had all been run before: enough")
                return None
        return None

    def report(self, progress: Progress) -> Decision:
        """Return what a trial is told after a report."""
        curve = self._curves.setdefault(progress.trial, [])
        curve.append(progress)
        self._notify(None)
        stop = self.stop()
        if stop is not None:
            return stop
        decision = self.pruner.decide(curve, self.ledger.results())
        pruner = self.config.pruner
        if decision.action is Action.PRUNE and pruner.kind == "dominance" and pruner.shadow:
            self._would_have_stopped.setdefault(progress.trial, progress.epoch)
            return CONTINUE
        return decision

    def tell(self, result: TrialResult) -> None:
        """Write down a result."""
        self._curves.pop(result.number, None)
        self._running.pop(result.number, None)
        self._marks.pop(result.number, None)
        epoch = self._would_have_stopped.pop(result.number, None)
        result = replace(result, would_have_stopped=epoch)
        self.ledger.record(result)
        self._write_session()
        self._notify(_describe(result))
        self._reuse_waiting(result)

    def mark(self, *marks: EnergyMark) -> None:
        """Write down the joules of the running trials so far."""
        self._marks.update({mark.trial: mark for mark in marks})
        self.session.mark(marks, time.monotonic() - self._started_s)
        self._notify(None)

    def stop(self) -> Decision | None:
        """Return what running trials are told to end, None to go on."""
        if self.should_interrupt():
            return Decision(action=Action.INTERRUPT, reason="the search was interrupted")
        if self._limit is None:  # kept: an estimate of the joules spent may be corrected downwards
            self._limit = exhausted(self.config.budget, self.config.carbon, self.spent())
        return None if self._limit is None else Decision(action=Action.STOP, reason=self._limit)

    # --- for others -----------------------------------------------------------------------------

    def spent(self) -> Spent:
        """Return what has been spent, over all sessions."""
        return self._spent(self._lines())

    def close(self) -> None:
        """Write down the end of the session."""
        self._write_session()

    # --- inside ---------------------------------------------------------------------------------

    def _may_start(self) -> bool:
        if self.stop() is not None or self._fails_always():
            return False
        return bool(self._requeued) or has_trials_left(self.config.budget, self.spent())

    def _fails_always(self) -> bool:
        """Return whether going on would only repeat the same failure."""
        results = self.ledger.results()
        last = results[-MAX_EQUAL_FAILURES:]
        is_failing = len(last) == MAX_EQUAL_FAILURES and all(
            result.state is TrialState.FAILED and result.reason == last[0].reason for result in last
        )
        if is_failing and not any(result.state is TrialState.COMPLETE for result in results):
            self._notify(f"giving up: {len(last)} trials in a row failed: {last[0].reason}")
            return True
        return False

    def _next(self) -> Proposal:
        if self._requeued:
            return self._requeued.pop(0)
        proposal = self.ledger.propose(self.space, self.config.sampler, self.config.seed)
        if proposal.note is not None:
            self.session.note(proposal.note)
            self._notify(proposal.note)
        return proposal

    def _same_as(self, proposal: Proposal) -> TrialResult | None:
        key = proposal.candidate.key()
        for result in self.ledger.results():
            if result.state not in SAYS_NOTHING and result.candidate.key() == key:
                return result
        return None

    def _is_running(self, proposal: Proposal) -> bool:
        key = proposal.candidate.key()
        return any(candidate.key() == key for candidate in self._running.values())

    def _reuse_waiting(self, result: TrialResult) -> None:
        """Give a result to the proposals that waited for it; an interrupted one has none."""
        if result.state in SAYS_NOTHING:
            return
        key = result.candidate.key()
        same = [proposal for proposal in self._waiting if proposal.candidate.key() == key]
        self._waiting = [proposal for proposal in self._waiting if proposal not in same]
        for proposal in same:
            self._reuse(proposal, result)

    def _start(self, proposal: Proposal) -> TrialJob:
        self._curves[proposal.number] = []
        self._running[proposal.number] = proposal.candidate
        return TrialJob(
            number=proposal.number,
            candidate=proposal.candidate,
            seed=derive_seed(self.config.seed, proposal.number, "training"),
            epochs=self.epochs_for(proposal),
            probe=self._known_probe(proposal),
        )

    def _known_probe(self, proposal: Proposal) -> Probe | None:
        key = proposal.candidate.probe_key()
        for result in self.ledger.results():
            if result.probe is not None and result.candidate.probe_key() == key:
                return result.probe
        return None

    def _reuse(self, proposal: Proposal, before: TrialResult) -> None:
        """Record a candidate that has been run before: its result, no joules."""
        result = replace(
            before,
            number=proposal.number,
            state=TrialState.REUSED,
            reason=f"the same candidate as trial {before.number}",
            reused_from=before.number,
            energy=(),
            curve=(),
            duration_s=0.0,
            epochs=0,
            would_have_stopped=None,
        )
        self.ledger.record(result)
        self._notify(_describe(result))

    def _spent(self, lines: Sequence[EnergyLine]) -> Spent:
        results = [r for r in self.ledger.results() if r.state is not TrialState.REUSED]
        return Spent(
            trials=len(results) + len(self._curves),
            elapsed_s=self.earlier.elapsed_s + time.monotonic() - self._started_s,
            energy_j=total_billed_j(lines),
        )

    def _lines(self) -> list[EnergyLine]:
        finished = [line for result in self.ledger.results() for line in result.energy]
        running = [mark.as_line("running") for mark in self._marks.values()]
        interrupted = self.ledger.interrupted_energy().values()  # attempts before those running
        return [*finished, *running, *interrupted, *self.session.overhead()]

    def _write_session(self) -> None:
        self.session.write(time.monotonic() - self._started_s)

    def _notify(self, event: str | None) -> None:
        running = {number: (curve[-1] if curve else None) for number, curve in self._curves.items()}
        results, lines = self.ledger.results(), self._lines()
        if event is not None:
            self._standing = standing(results, self.config.objectives)
        spent = self._spent(lines)
        self.observer(
            Snapshot(
                results=results,
                running=running,
                spent=spent,
                provenance=weakest(line.provenance for line in lines),
                front_size=self._standing.front_size,
                hypervolume=self._standing.hypervolume,
                left_s=time_left_s(self.config.budget, spent),
                event=event,
            )
        )


def _describe(result: TrialResult) -> str:
    """Return one line for the log."""
    accuracy = result.metrics.get("validation_accuracy")
    parts = [f"trial {result.number} {result.state.value}"]
    if accuracy is not None:
        parts.append(f"validation accuracy {accuracy:.4f}")
    if result.reason is not None:
        parts.append(result.reason)
    return ", ".join(parts)

"""The loop of a search: the `Driver` an executor works for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace

from ecoautoml.config.models import SearchConfig
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.energy_reading import EnergyLine, Provenance, total_billed_j, weakest
from ecoautoml.records.progress import CONTINUE, Action, Decision, EnergyMark, Progress
from ecoautoml.records.trial_result import Probe, TrialJob, TrialResult, TrialState
from ecoautoml.records.turn import Move, Turn
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.strategies.base import Begin, GoOn, History, Planner, Pruner, Running
from ecoautoml.strategies.samplers import derive_seed
from ecoautoml.strategies.variants import Variants
from ecoautoml.study.budget import Spent, exhausted, has_trials_left, left_of, time_left_s
from ecoautoml.study.ledger import Ledger, Proposal
from ecoautoml.study.session import Session
from ecoautoml.study.standing import Standing, standing

logger = logging.getLogger(__name__)

MAX_REPEATS = 60
"""Proposals in a row that were run before, after which the space counts as exhausted."""
MAX_EQUAL_FAILURES = 12
"""Failures in a row for the same reason, with nothing ever completed, that end a search."""
SAYS_NOTHING = (TrialState.REUSED, TrialState.STOPPED, TrialState.INTERRUPTED)
"""States whose results are not those of the candidate itself."""
MOVES = {Action.PAUSE: Move.PAUSE, Action.PRUNE: Move.STOP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an observer sees: everything read-only.

    Attributes:
        results: Finished trials.
        paused: Paused trials that do not run now.
        running: Last report of each running trial, by number (None before its first).
        spent: What has been spent.
        provenance: Weakest provenance among the joules spent.
        front_size: Models on the front.
        hypervolume: See `ecoautoml.study.standing`.
        left_s: Seconds until the budget is spent, at the present pace; None when unknown.
        needed: Trials whose trained networks are still to be varied.
        event: What has just happened, one line; None for a tick.
    """

    results: Sequence[TrialResult]
    running: dict[int, Progress | None]
    spent: Spent
    provenance: Provenance | None
    front_size: int
    hypervolume: float | None
    left_s: float | None
    paused: Sequence[TrialResult] = ()
    needed: Set[int] = frozenset()
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
        planner: What plans trials; None: the sampler of the configuration proposes them.
        epochs_for: Epochs of a candidate.
        session: Joules that belong to no trial (look ahead, worker starts, ...).
        observer: Called after every event and report, and every 2 s.
        should_interrupt: Whether the user has asked to stop.
        variants: What proposes other forms of trained networks; None: nothing does.
        is_kept: Whether the trained network of a trial is still on disk.
    """

    config: SearchConfig
    space: SearchSpace
    ledger: Ledger
    pruner: Pruner
    planner: Planner | None
    epochs_for: Callable[[Candidate], int]
    session: Session
    observer: Observer
    should_interrupt: Callable[[], bool]
    earlier: Spent
    variants: Variants | None = None
    is_kept: Callable[[int], bool] = lambda number: False
    _started_s: float = field(default_factory=time.monotonic)
    _running: dict[int, Running] = field(default_factory=dict)
    _waiting: list[Proposal] = field(default_factory=list)
    _marks: dict[int, EnergyMark] = field(default_factory=dict)
    _has_planner_failed: bool = False
    _requeued: list[Proposal | GoOn] = field(default_factory=list)
    _limit: str | None = None
    _standing: Standing = field(default_factory=lambda: Standing(0, None))

    def __post_init__(self) -> None:
        config = self.config
        self._requeued = self.ledger.unfinished()
        self._standing = standing(self.ledger.results(), config.objectives, config.prefer)

    # --- the executor's questions ---------------------------------------------------------------

    def ask(self) -> TrialJob | None:
        """Return the next trial to run, None when there is none to start now."""
        repeats = 0
        while self.stop() is None and not self._fails_always():
            step = self._next()
            if step is None:
                return None
            if isinstance(step, GoOn):
                return self._go_on(step)
            before = self._same_as(step)
            if before is not None:
                self._reuse(step, before)
            elif self._is_begun(step):
                self._waiting.append(step)
            else:
                return self._start(step)
            repeats += 1
            if repeats >= MAX_REPEATS:
                self._notify(f"the last {repeats} proposals had all been run before: enough")
                return None
        return None

    def report(self, progress: Progress) -> Decision:
        """Return what a trial is told after a report."""
        known = self._running[progress.trial]
        trial = replace(known, curve=(*known.curve, progress))
        self._running[progress.trial] = trial
        self._notify(None)
        return self.stop() or self._carried_out(trial, self._decision(trial))

    def tell(self, result: TrialResult) -> None:
        """Write down a result."""
        trial = self._running.pop(result.number, None)
        self._marks.pop(result.number, None)
        result = replace(result, would_have_stopped=trial.would_have_stopped if trial else None)
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

    def needed(self) -> set[int]:
        """Return the trials whose trained networks are still to be varied."""
        waiting = {
            one.parent
            for one in self._requeued
            if isinstance(one, Proposal) and one.parent is not None
        }
        return waiting | (self.variants.needed(self._history()) if self.variants else set())

    def close(self) -> None:
        """Write down the end of the session."""
        self._write_session()

    # --- inside ---------------------------------------------------------------------------------

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

    def _next(self) -> Proposal | GoOn | None:
        """Return a new trial or one to go on with; None: nothing for now."""
        if self._requeued:
            return self._requeued.pop(0)
        history = self._history()
        step = (
            self.pruner.promote(_trainings(history))
            or (self.variants and self.variants.next(history))
            or self._planned(history)
        )
        if not isinstance(step, Begin):
            return step
        proposal = self.ledger.propose(self.space, self.config.sampler, self.config.seed, step)
        if proposal.note is not None:
            self.session.note(proposal.note)
            self._notify(proposal.note)
        return proposal

    def _planned(self, history: History) -> Begin | GoOn | None:
        """Return what the planner wants; where there is none, a new trial of the sampler's."""
        may_begin = history.may_begin
        if self.planner is None:
            return _begin(f"proposed by the sampler {self.config.sampler.kind}", may_begin)
        try:
            return self.planner.next(history, self.ledger.planner_state())
        except Exception as error:  # numerics of many kinds
            logger.debug("the planner failed", exc_info=True)
            self._tell_of_failure(error)
            return _begin("chosen by chance, because planning failed", may_begin)

    def _tell_of_failure(self, error: Exception) -> None:
        """Say once that the planner has failed."""
        if not self._has_planner_failed:
            self._has_planner_failed = True
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            sentence = f"Planning failed ({reason}); where it does, chance chooses."
            self.session.note(sentence)
            self._notify(sentence)

    def _history(self) -> History:
        spent = self.spent()
        return History(
            left=left_of(self.config.budget, self.config.carbon, spent),
            may_begin=has_trials_left(self.config.budget, spent),
            finished=self.ledger.results(),
            paused=[one for one in self.ledger.paused() if one.number not in self._running],
            running=[self._running[number] for number in sorted(self._running)],
        )

    def _decision(self, trial: Running) -> Decision:
        """Return what pruner and planner say of a trial; one that is watched runs to its end."""
        if trial.would_have_stopped is not None:
            return CONTINUE
        history = self._history()
        decision = self.pruner.decide(trial, _trainings(history))
        if decision.action is not Action.CONTINUE or decision.is_withheld or self.planner is None:
            return decision
        try:
            return self.planner.decide(trial, history, self.ledger.planner_state())
        except Exception as error:  # as above
            logger.debug("the planner failed", exc_info=True)
            self._tell_of_failure(error)
            return CONTINUE

    def _carried_out(self, trial: Running, decision: Decision) -> Decision:
        """Write a decision down and return it; in shadow mode what would be stopped runs on."""
        is_shadow = getattr(self.config.pruner, "shadow", False)
        if decision.action is Action.PRUNE and is_shadow:
            decision = replace(decision, action=Action.CONTINUE, is_withheld=True)
        if decision.is_withheld:
            self._running[trial.number] = replace(trial, would_have_stopped=trial.epoch)
        move = Move.WATCH if decision.is_withheld else MOVES.get(decision.action)
        if move is not None:
            turn = Turn(
                move=move,
                epoch=trial.epoch,
                reason=decision.reason or "",
                figures=decision.figures,
            )
            self.ledger.add_turn(trial.number, turn)
        return decision

    def _same_as(self, proposal: Proposal) -> TrialResult | None:
        key = proposal.candidate.key()
        for result in self.ledger.results():
            if result.state not in SAYS_NOTHING and result.candidate.key() == key:
                return result
        return None

    def _is_begun(self, proposal: Proposal) -> bool:
        """Return whether the same candidate runs or is paused."""
        key = proposal.candidate.key()
        begun = [one.candidate for one in self._running.values()]
        begun += [one.candidate for one in self.ledger.paused()]
        return any(one.key() == key for one in begun)

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
        return self._run(proposal.number, proposal.candidate, None, proposal.parent)

    def _go_on(self, step: GoOn) -> TrialJob:
        before = self.ledger.go_on(step)
        return self._run(before.number, before.candidate, before)

    def _run(
        self,
        number: int,
        candidate: Candidate,
        before: TrialResult | None,
        parent: int | None = None,
    ) -> TrialJob:
        """Return the job of a trial that runs from now on."""
        epochs = self.epochs_for(candidate)
        self._running[number] = Running(
            number=number,
            candidate=candidate,
            epochs=epochs,
            curve=() if before is None else before.curve,
            would_have_stopped=None if before is None else before.would_have_stopped,
            parent=parent,
        )
        return TrialJob(
            number=number,
            candidate=candidate,
            seed=derive_seed(self.config.seed, number, "training"),
            epochs=epochs,
            probe=self._known_probe(candidate),
            before=before,
            parent=parent,
            teacher=self._best(),
        )

    def _best(self) -> int | None:
        """Return the most accurate training whose network is kept; None before there is one."""
        found = [
            one
            for one in self.ledger.results()
            if one.state is TrialState.COMPLETE and one.parent is None and self.is_kept(one.number)
        ]
        best = max(found, key=lambda one: one.metrics["validation_accuracy"], default=None)
        return None if best is None else best.number

    def _known_probe(self, candidate: Candidate) -> Probe | None:
        key = candidate.probe_key()
        for result in (*self.ledger.results(), *self.ledger.paused()):
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
            parent=None,
        )
        self.ledger.record(result)
        self._notify(_describe(result))

    def _spent(self, lines: Sequence[EnergyLine]) -> Spent:
        ended = [
            one.number
            for one in self.ledger.results()
            if one.state is not TrialState.REUSED and one.parent is None
        ]
        paused = [one.number for one in self.ledger.paused()]
        running = [one.number for one in self._running.values() if one.parent is None]
        return Spent(
            trials=len({*ended, *paused, *running}),
            elapsed_s=self.earlier.elapsed_s + time.monotonic() - self._started_s,
            energy_j=total_billed_j(lines),
        )

    def _lines(self) -> list[EnergyLine]:
        trials = (*self.ledger.results(), *self.ledger.paused())
        finished = [line for result in trials for line in result.energy]
        running = [mark.as_line("running") for mark in self._marks.values()]
        interrupted = self.ledger.interrupted_energy().values()  # attempts before those running
        return [*finished, *running, *interrupted, *self.session.overhead()]

    def _write_session(self) -> None:
        self.session.write(time.monotonic() - self._started_s)

    def _notify(self, event: str | None) -> None:
        running = {
            number: trial.curve[-1] if trial.curve else None
            for number, trial in self._running.items()
        }
        results, lines = self.ledger.results(), self._lines()
        if event is not None:
            self._standing = standing(results, self.config.objectives, self.config.prefer)
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
                paused=[one for one in self.ledger.paused() if one.number not in running],
                needed=frozenset() if event is None else self.needed(),
                event=event,
            )
        )


def _trainings(history: History) -> History:
    """Return the history without variants, as pruners see it.

    A variant's costs are a matter of its form: to be dearer than another's cheapest form says
    nothing against a training, which will have such forms too.
    """
    return replace(
        history,
        finished=[one for one in history.finished if one.parent is None],
        running=[one for one in history.running if one.parent is None],
    )


def _begin(reason: str, may_begin: bool) -> Begin | None:
    turn = Turn(move=Move.BEGIN, epoch=0, reason=reason)
    return Begin(turn=turn) if may_begin else None


def _describe(result: TrialResult) -> str:
    """Return one line for the log."""
    accuracy = result.metrics.get("validation_accuracy")
    parts = [f"trial {result.number} {result.state.value}"]
    if accuracy is not None:
        parts.append(f"validation accuracy {accuracy:.4f}")
    if result.reason is not None:
        parts.append(result.reason)
    return ", ".join(parts)

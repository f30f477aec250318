"""The ledger: an Optuna study that holds everything a search knows.

Optuna's trial carries parameters, values and constraints, so that its samplers and its dashboard
work on it; the whole `TrialResult` stands beside them as one user attribute. That attribute is
written first and in one statement: a process killed right after it has lost nothing, because
`unfinished` finds the result and only finishes the telling. A trial is proposed in one statement
too, so none is ever half proposed. How and where things are stored is `storage.py`'s.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState
from pydantic import TypeAdapter

from ecoautoml.config.models import RandomSampler, SamplerConfig
from ecoautoml.errors import RunError
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.records.columns import METRICS
from ecoautoml.records.energy_reading import EnergyLine, joined
from ecoautoml.records.measurement import Ranking
from ecoautoml.records.progress import EnergyMark
from ecoautoml.records.session_record import SessionRecord
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.records.turn import Move, Turn
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode
from ecoautoml.strategies.base import Begin, GoOn
from ecoautoml.strategies.samplers import PlannedValues, derive_seed, make_sampler
from ecoautoml.study.storage import CANDIDATE, SAMPLER_STATE, MemoryStudy, StoredStudy

logger = logging.getLogger(__name__)

RESULT, MARKS, SAMPLER_ERROR = "result", "energy_marks", "sampler_error"
PAUSED, TURNS, PLANNER_STATE, PARENT = "paused", "turns", "planner_state", "parent"
_RESULTS = TypeAdapter(TrialResult)
_CANDIDATES = TypeAdapter(Candidate)
_LINE = TypeAdapter(EnergyLine)
_RANKING = TypeAdapter(Ranking)
_TURNS = TypeAdapter(tuple[Turn, ...])
_SESSIONS = TypeAdapter(tuple[SessionRecord, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A trial of the ledger that has yet to be run.

    Attributes:
        number: Trial number.
        candidate: What to run.
        parent: Number of the trial whose trained network is taken; None: one is trained.
        note: One sentence for the user about how it was chosen; None when there is nothing to say.
    """

    number: int
    candidate: Candidate
    parent: int | None = None
    note: str | None = field(default=None, compare=False)


class MarkRound(NamedTuple):
    """Which writing of all running trials' joules a mark belongs to.

    Marks are written one by one, and then the record of their session, which says how many rounds
    there were. A kill in between leaves marks of a round that the record does not know: then those
    before them count, since whatever else is on the bill is as old as the record.

    Attributes:
        session: Index of the session.
        number: Number of the round within the session, from 1.
    """

    session: int
    number: int


class Ledger:
    """All trials of one search.

    Args:
        storage: Optuna storage URL.
        name: Study name.
        objectives: Column names, in order.
        constraints: Texts of the constraints, in order; may be left out to read only.
        is_read_only: Whether the study must exist and nothing is to be written.

    Raises:
        RunError: The storage cannot be opened, or the study is not of a search, or of one with
            other objectives. Whatever writes raises it too, when the database stays locked or
            away for some seconds, or when another process writes.
    """

    def __init__(
        self,
        storage: str,
        name: str,
        objectives: Sequence[str],
        constraints: Sequence[str] = (),
        *,
        is_read_only: bool = False,
    ) -> None:
        self.objectives, self.constraints = tuple(objectives), tuple(constraints)
        self._stored = StoredStudy(storage, name, objectives, is_read_only=is_read_only)
        self._memory = None if is_read_only else self._stored.in_memory()
        self._attributes = self._stored.attributes()
        self._results: dict[int, TrialResult] = {}
        self._paused: dict[int, TrialResult] = {}
        self._pauses: dict[int, int] = {}
        self._turns: dict[int, tuple[Turn, ...]] = {}
        self._interrupted: dict[int, EnergyLine] = {}
        self._marks: tuple[MarkRound | None, dict[int, EnergyLine]] = (None, {})
        self._marks_before: dict[int, EnergyLine] = {}
        self._has_sampler_failed = False
        trials = self._stored.trials()
        for trial in trials:
            self._read(trial)
        self._planner_state = self._state_kept(trials)

    # --- reading ------------------------------------------------------------------------------

    @property
    def has_trials(self) -> bool:
        """Return whether any trial was ever proposed."""
        return self._stored.n_trials > 0

    def results(self) -> list[TrialResult]:
        """Return the results of all finished trials, by number."""
        return [self._results[number] for number in sorted(self._results)]

    def paused(self) -> list[TrialResult]:
        """Return the trials that were halted and have not ended, by number.

        One that runs again is among them, as it was when it was halted.
        """
        return [self._paused[number] for number in sorted(self._paused)]

    def turns(self, number: int) -> tuple[Turn, ...]:
        """Return why a trial was begun, halted, gone on with and stopped, in order."""
        return self._turns.get(number, ())

    def all_turns(self) -> dict[int, tuple[Turn, ...]]:
        """Return the same for every trial, by number."""
        return dict(self._turns)

    def planner_state(self) -> Mapping[str, object]:
        """Return what the planner last wanted to find again."""
        return self._planner_state

    def interrupted_energy(self) -> dict[int, EnergyLine]:
        """Return the joules of attempts that were interrupted, by trial number."""
        return dict(self._interrupted)

    def attribute(self, name: str) -> Any:
        """Return a value that belongs to the whole search, None when there is none."""
        return self._attributes.get(name)

    def sessions(self) -> tuple[SessionRecord, ...]:
        """Return what every session wrote down beside its trials, the first first."""
        return _SESSIONS.validate_python(self.attribute("sessions") or ())

    def set_sessions(self, sessions: Sequence[SessionRecord]) -> None:
        """Store what every session writes down beside its trials."""
        self.set_attribute("sessions", _SESSIONS.dump_python(tuple(sessions), mode="json"))

    def set_attribute(self, name: str, value: Any) -> None:
        """Store a JSON value that belongs to the whole search."""
        if name not in self._attributes or self._attributes[name] != value:
            self._stored.set_attribute(name, value)
            self._attributes[name] = value

    def ranking(self) -> Ranking | None:
        """Return what measuring the front in turn found, None before."""
        stored = self.attribute("ranking")
        return None if stored is None else _RANKING.validate_python(stored)

    def lost(self) -> frozenset[int]:
        """Return the trials that were measured in turn and are not on the front."""
        return frozenset(self.attribute("lost") or ())

    def set_ranking(self, ranking: Ranking, lost: Set[int]) -> None:
        """Store what measuring the front in turn found, and which trials are out since."""
        self.set_attribute("lost", sorted(lost))
        self.set_attribute("ranking", _RANKING.dump_python(ranking, mode="json"))

    # --- writing ------------------------------------------------------------------------------

    def unfinished(self) -> list[Proposal | GoOn]:
        """Return the trials that were running when an earlier session ended, to be run again.

        One that had gone on from a pause goes on from there again, by the decision that stands.
        Their joules so far stay on the bill. A trial whose result was written but not told is
        told now.
        """
        found: list[Proposal | GoOn] = []
        for frozen in self._stored.trials(OptunaState.RUNNING):
            if CANDIDATE not in frozen.user_attrs:
                continue  # somebody else's
            if RESULT in frozen.user_attrs:
                self._tell(_RESULTS.validate_json(frozen.user_attrs[RESULT]))
                continue
            if frozen.number in self._paused:
                last = self.turns(frozen.number)[-1:]
                if last and last[0].move is Move.GO_ON:
                    found.append(GoOn(number=frozen.number, turn=last[0]))
                continue
            self._read(frozen)  # this session's marks, if it has made any
            self._set_marks(frozen.number, None)
            candidate = _CANDIDATES.validate_json(frozen.user_attrs[CANDIDATE])
            parent = frozen.user_attrs.get(PARENT)
            found.append(Proposal(number=frozen.number, candidate=candidate, parent=parent))
        return found

    def propose(
        self, space: SearchSpace, config: SamplerConfig, seed: int, begin: Begin | None = None
    ) -> Proposal:
        """Add one more trial: the values that were planned, or what the sampler says.

        Where the sampler fails, chance chooses. The first time, this is said in the log and in
        the proposal's note.

        Args:
            space: Where the values come from.
            config: The sampler.
            seed: Seed of the search.
            begin: What was planned; None: the sampler is asked.
        """
        found: list[Candidate] = []

        def decide(trial: Trial) -> None:
            found.append(decode(space, lambda dimension: _suggest(trial, dimension)))

        self._stored.check_alone()
        chosen = self._choose(
            config,
            derive_seed(seed, self._stored.n_trials, "trial"),
            decide,
            None if begin is None else begin.values,
        )
        chosen.user_attrs[CANDIDATE] = _CANDIDATES.dump_json(found[-1]).decode()
        if begin is not None:
            self._keep_state(begin.state, chosen.number)
            self._turns[chosen.number] = (begin.turn,)
            chosen.user_attrs[TURNS] = _TURNS.dump_python((begin.turn,), mode="json")
        parent = None if begin is None else begin.parent
        if parent is not None:
            chosen.user_attrs[PARENT] = parent
        if state := self._in_memory.state():  # before the trial, which was chosen with it
            self.set_attribute(SAMPLER_STATE, state)
        self._stored.add(chosen)
        note = self._note(config, chosen.user_attrs.get(SAMPLER_ERROR))
        return Proposal(number=chosen.number, candidate=found[-1], parent=parent, note=note)

    def mark(self, marks: Sequence[EnergyMark], mark_round: MarkRound | None = None) -> bool:
        """Write down the joules of running trials so far; return whether all could be written.

        Args:
            marks: The joules of each.
            mark_round: The round they belong to, the same as last time when not all could be
                written then; None: they count by themselves.
        """
        lines = {mark.trial: mark.as_line("interrupted") for mark in marks}
        last_round, last = self._marks
        if mark_round != last_round:
            self._marks_before = last
        self._marks = (mark_round, lines)
        try:
            for number, line in lines.items():
                self._set_marks(number, line, mark_round, is_patient=False)
        except RunError:  # the next ones, soon after, hold the same joules and more
            return False
        return True

    def record(self, result: TrialResult) -> None:
        """Write down a finished trial, once; an interrupted one only leaves its joules.

        A paused one is kept as it is until it goes on and ends.
        """
        if result.state is TrialState.PAUSED:
            self._record_pause(result)
            return
        if result.state is TrialState.INTERRUPTED:
            line = joined("interrupted", result.energy)
            attempts = [*self._attempts(result.number), line]
            self._interrupted[result.number] = joined("interrupted", attempts)
            self._set_marks(result.number, None)
            return
        # not `dump_json`, which writes NaN and infinity as null
        text = json.dumps(_RESULTS.dump_python(result, mode="json"))
        self._stored.set_trial_attribute(result.number, RESULT, text)
        self._tell(result)

    def go_on(self, step: GoOn) -> TrialResult:
        """Write down why a paused trial goes on, and return it as it was halted.

        For one that was cut off after this was decided, it stands there already.
        """
        if self.turns(step.number)[-1:] != (step.turn,):
            self._keep_state(step.state, step.number)
            self.add_turn(step.number, step.turn)
        return self._paused[step.number]

    def add_turn(self, number: int, turn: Turn) -> None:
        """Write down a decision about a running trial."""
        turns = (*self.turns(number), turn)
        self._stored.set_trial_attribute(number, TURNS, _TURNS.dump_python(turns, mode="json"))
        self._turns[number] = turns

    # --- inside -------------------------------------------------------------------------------

    def _keep_state(self, state: Mapping[str, object] | None, number: int) -> None:
        """Write down what the planner wants to find again, right before its decision about a trial.

        A process killed in between has not decided: then what was kept before counts.
        """
        if state is None:
            return
        turn = [number, len(self.turns(number))]
        kept = {"now": dict(state), "before": dict(self._planner_state), "turn": turn}
        self.set_attribute(PLANNER_STATE, kept)
        self._planner_state = state

    def _state_kept(self, trials: Sequence[FrozenTrial]) -> Mapping[str, object]:
        """Return what the planner wanted to find again when it last decided."""
        kept: Mapping[str, Any] = self.attribute(PLANNER_STATE) or {}
        if "turn" not in kept:
            return kept
        number, index = kept["turn"]
        turns = {trial.number: trial.user_attrs.get(TURNS, ()) for trial in trials}
        has_decided = index < len(turns.get(number, ()))
        state: Mapping[str, object] = kept["now" if has_decided else "before"]
        return state

    def _record_pause(self, result: TrialResult) -> None:
        """Write down a halted trial; its last attempt's joules are part of it from here on."""
        number = result.number
        pauses = self._pauses.get(number, 0) + 1
        text = json.dumps(_RESULTS.dump_python(result, mode="json"))
        kept = {"pauses": pauses, "turns": len(self.turns(number)), "result": text}
        self._stored.set_trial_attribute(number, PAUSED, kept)
        self._pauses[number], self._paused[number] = pauses, result
        self._marks[1].pop(number, None)

    @property
    def _in_memory(self) -> MemoryStudy:
        assert self._memory is not None, "a ledger opened to be read is not written to"
        return self._memory

    def _choose(
        self,
        config: SamplerConfig,
        seed: int,
        decide: Callable[[Trial], None],
        planned: Mapping[str, Value] | None,
    ) -> FrozenTrial:
        """Let the sampler choose a trial, or chance where it fails.

        Made anew from the same ledger, it would fail at this trial for ever.
        """
        if planned is not None:
            return self._in_memory.choose(PlannedValues(planned), decide)
        try:
            return self._in_memory.choose(make_sampler(config, seed), decide)
        except Exception as error:  # numerics of many kinds
            logger.debug("the sampler failed", exc_info=True)
            self._memory = self._stored.in_memory()  # without the trial half chosen
            chance = make_sampler(RandomSampler(kind="random"), seed)
            chosen = self._memory.choose(chance, decide)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            chosen.user_attrs[SAMPLER_ERROR] = reason[:200]
            return chosen

    def _note(self, config: SamplerConfig, failure: str | None) -> str | None:
        """Return the sentence about a failure of the sampler, once."""
        if failure is None or self._has_sampler_failed:
            return None
        self._has_sampler_failed = True
        sentence = f"The sampler {config.kind} failed ({failure}); where it does, chance chooses."
        logger.info(sentence)
        return sentence

    def _read(self, trial: FrozenTrial) -> None:
        """Take one stored trial into memory."""
        number, kept = trial.number, trial.user_attrs
        if RESULT in kept:
            self._results[number] = _RESULTS.validate_json(kept[RESULT])
        elif PAUSED in kept:
            self._paused[number] = _RESULTS.validate_json(kept[PAUSED]["result"])
            self._pauses[number] = kept[PAUSED]["pauses"]
        turns = _TURNS.validate_python(kept.get(TURNS, ()))
        self._turns[number] = turns if RESULT in kept else _standing(turns, kept.get(PAUSED))
        marks = kept.get(MARKS, {"earlier": None, "now": None})
        present = "now" if self._is_whole(marks.get("round")) else "before"
        # the last attempt's joules are part of its result or its pause, when it came to one
        is_in_result = RESULT in kept or marks.get("pauses", 0) < self._pauses.get(number, 0)
        names = ["earlier"] if is_in_result else ["earlier", present]
        attempts = [_LINE.validate_python(marks[name]) for name in names if marks[name]]
        if attempts:
            self._interrupted[trial.number] = joined("interrupted", attempts)

    def _is_whole(self, mark_round: Sequence[int] | None) -> bool:
        """Return whether a round of marks was followed by the record of its session."""
        if mark_round is None:
            return True
        session, number = mark_round
        sessions = self.attribute("sessions") or ()
        return session < len(sessions) and sessions[session]["mark_rounds"] >= number

    def _attempts(self, number: int) -> list[EnergyLine]:
        """Return the joules of earlier, interrupted attempts, as no or one line."""
        return [self._interrupted[number]] if number in self._interrupted else []

    def _set_marks(
        self,
        number: int,
        now: EnergyLine | None,
        mark_round: MarkRound | None = None,
        *,
        is_patient: bool = True,
    ) -> None:
        """Write down the joules of earlier attempts and of the present one, in one statement."""
        lines = {
            "earlier": next(iter(self._attempts(number)), None),
            "before": None if mark_round is None else self._marks_before.get(number),
            "now": now,
        }
        marks: dict[str, Any] = {
            name: None if line is None else _LINE.dump_python(line, mode="json")
            for name, line in lines.items()
        }
        marks["round"], marks["pauses"] = mark_round, self._pauses.get(number, 0)
        self._stored.set_trial_attribute(number, MARKS, marks, is_patient=is_patient)

    def _tell(self, result: TrialResult) -> None:
        # Every trial is told of every constraint: Optuna's Gaussian process refuses a study in
        # which one has fewer. 0 is what is not known to be violated, as before training.
        constraints = dict.fromkeys(self.constraints, 0.0)
        constraints |= {text: x for text, x in result.constraints.items() if math.isfinite(x)}
        state, values = self._optuna_outcome(result)
        self._stored.finish(self._in_memory.tell(result.number, state, values, constraints))
        self._results[result.number] = result
        self._paused.pop(result.number, None)

    def _optuna_outcome(self, result: TrialResult) -> tuple[OptunaState, list[float] | None]:
        """Return what Optuna is told.

        An infeasible trial is told as complete with its violated constraint, never as pruned:
        a sampler that sees large models pruned learns to propose only small ones (optuna#2969).
        Scores it never got are set to the median of the finished trials', which says nothing
        about them either way; the true result stands in the user attribute.
        """
        state = result.state
        if state is TrialState.REUSED and result.reused_from in self._results:
            state = self._results[result.reused_from].state
        if state is TrialState.PRUNED:
            return OptunaState.PRUNED, None
        if state not in (TrialState.COMPLETE, TrialState.INFEASIBLE):
            return OptunaState.FAIL, None
        known = [result.metrics.get(name, self._median(name)) for name in self.objectives]
        values = [float(value) for value in known if value is not None]
        numbers = [*values, *result.constraints.values()]
        if len(values) < len(known) or not all(map(math.isfinite, numbers)):
            return OptunaState.FAIL, None
        return OptunaState.COMPLETE, values

    def _median(self, name: str) -> float | None:
        complete = [one for one in self._results.values() if one.state is TrialState.COMPLETE]
        values = [one.metrics[name] for one in complete if name in one.metrics]
        known = sorted(filter(math.isfinite, values))
        if known:
            return known[len(known) // 2]
        return 0.5 if METRICS[name].is_score else None


def _standing(turns: tuple[Turn, ...], paused: Mapping[str, Any] | None) -> tuple[Turn, ...]:
    """Return the decisions about a trial without a result that stand after its process has died.

    That it begins or goes on stands. What was decided about it while it then ran is decided again.

    Args:
        turns: All that were written down.
        paused: What is kept of its last pause; None: there was none.
    """
    before = 0 if paused is None else paused.get("turns", len(turns))
    return turns[: before + 1]


def _suggest(trial: Trial, dimension: Dimension) -> Value:
    """Let Optuna choose a value of one dimension."""
    if dimension.kind == "categorical":
        choice: Value = trial.suggest_categorical(dimension.name, list(dimension.choices))
        return choice
    low, high = dimension.low, dimension.high
    assert low is not None
    assert high is not None
    if dimension.kind == "int":
        return trial.suggest_int(
            dimension.name, int(low), int(high), step=int(dimension.step or 1), log=dimension.log
        )
    step = None if dimension.step is None else float(dimension.step)
    return trial.suggest_float(dimension.name, low, high, step=step, log=dimension.log)

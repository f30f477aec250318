"""The ledger: an Optuna study that holds everything a search knows.

Optuna's trial carries parameters, values and constraints, so that its samplers and its dashboard
work on it; the whole `TrialResult` stands beside them as one user attribute. That attribute is
written first and in one statement: a process killed right after it has lost nothing, because
`unfinished` finds the result and only finishes the telling. A trial is proposed in one statement
too, so none is ever half proposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import Trial
from optuna.trial import TrialState as OptunaState
from pydantic import TypeAdapter

from ecoautoml.config.models import SamplerConfig
from ecoautoml.errors import RunError
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.records.columns import METRICS
from ecoautoml.records.energy_reading import EnergyLine, total_energy_j, weakest
from ecoautoml.records.progress import EnergyMark
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode
from ecoautoml.strategies.samplers import derive_seed, make_sampler
from ecoautoml.study.storage import MemoryStudy, open_study

RESULT, CANDIDATE, MARKS = "result", "candidate", "energy_marks"
_RESULTS = TypeAdapter(TrialResult)
_CANDIDATES = TypeAdapter(Candidate)
_LINE = TypeAdapter(EnergyLine)
_LINES = TypeAdapter(tuple[EnergyLine, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A trial of the ledger that has yet to be run."""

    number: int
    candidate: Candidate


class Ledger:
    """All trials of one search.

    Args:
        storage: Optuna storage URL.
        name: Study name.
        objectives: Column names, in order.
        constraints: Texts of the constraints, in order; may be left out to read only.
        is_read_only: Whether the study must exist and nothing is to be written.

    Raises:
        RunError: The storage cannot be opened, or the study was made for other objectives.
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
        self._study = open_study(storage, name, objectives, is_read_only=is_read_only)
        self._memory = None if is_read_only else MemoryStudy(self._study)
        self._attributes: dict[str, Any] = dict(self._study.user_attrs)
        self._results: dict[int, TrialResult] = {}
        self._ids: dict[int, int] = {}
        self._interrupted: dict[int, EnergyLine] = {}
        for trial in self._study.get_trials(deepcopy=False):
            self._read(trial)

    # --- reading ------------------------------------------------------------------------------

    @property
    def has_trials(self) -> bool:
        """Return whether any trial was ever proposed."""
        return bool(self._ids)

    def results(self) -> list[TrialResult]:
        """Return the results of all finished trials, by number."""
        return [self._results[number] for number in sorted(self._results)]

    def interrupted_energy(self) -> dict[int, EnergyLine]:
        """Return the joules of attempts that were interrupted, by trial number."""
        return dict(self._interrupted)

    def attribute(self, name: str) -> Any:
        """Return a value that belongs to the whole search, None when there is none."""
        return self._attributes.get(name)

    def lines(self, name: str) -> tuple[EnergyLine, ...]:
        """Return lines of the bill that belong to no trial, stored under a name."""
        return _LINES.validate_python(self.attribute(name) or ())

    def set_lines(self, name: str, lines: Sequence[EnergyLine]) -> None:
        """Store lines of the bill that belong to no trial."""
        self.set_attribute(name, _LINES.dump_python(tuple(lines), mode="json"))

    def set_attribute(self, name: str, value: Any) -> None:
        """Store a JSON value that belongs to the whole search."""
        if name not in self._attributes or self._attributes[name] != value:
            self._study.set_user_attr(name, value)
            self._attributes[name] = value

    # --- writing ------------------------------------------------------------------------------

    def unfinished(self) -> list[Proposal]:
        """Return the trials that were running when an earlier session ended, to be run again.

        Their joules so far stay on the bill. A trial whose result was written but not told is
        told now.
        """
        proposals = []
        for frozen in self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
            if RESULT in frozen.user_attrs:
                self._tell(_RESULTS.validate_json(frozen.user_attrs[RESULT]))
                continue
            self._read(frozen)  # this session's marks, if it has made any
            self._set_marks(frozen.number, None)
            candidate = _CANDIDATES.validate_json(frozen.user_attrs[CANDIDATE])
            proposals.append(Proposal(number=frozen.number, candidate=candidate))
        return proposals

    def propose(self, space: SearchSpace, config: SamplerConfig, seed: int) -> Proposal:
        """Ask the sampler for one more trial.

        Raises:
            RunError: Another process is writing to this ledger.
        """
        found: list[Candidate] = []

        def decide(trial: Trial) -> None:
            found.append(decode(space, lambda dimension: _suggest(trial, dimension)))

        sampler = make_sampler(config, derive_seed(seed, len(self._ids), "trial"))
        chosen = self._in_memory.choose(sampler, decide)
        chosen.user_attrs[CANDIDATE] = _CANDIDATES.dump_json(found[0]).decode()
        trial_id = self._storage.create_new_trial(self._study._study_id, template_trial=chosen)
        if self._storage.get_trial_number_from_id(trial_id) != chosen.number:
            self._storage.set_trial_state_values(trial_id, OptunaState.FAIL)
            raise RunError("another process is writing to the ledger of this search; end one")
        self._ids[chosen.number] = trial_id
        return Proposal(number=chosen.number, candidate=found[0])

    def mark(self, mark: EnergyMark) -> None:
        """Write down the joules of a running trial so far."""
        self._set_marks(mark.trial, mark.as_line("interrupted"))

    def record(self, result: TrialResult) -> None:
        """Write down a finished trial, once; an interrupted one only leaves its joules."""
        if result.state is TrialState.INTERRUPTED:
            line = joined("interrupted", result.energy)
            attempts = [*self._attempts(result.number), line]
            self._interrupted[result.number] = joined("interrupted", attempts)
            self._set_marks(result.number, None)
            return
        self._set(result.number, RESULT, _RESULTS.dump_json(result).decode())
        self._tell(result)

    # --- inside -------------------------------------------------------------------------------

    @property
    def _storage(self) -> optuna.storages.BaseStorage:
        return self._study._storage

    @property
    def _in_memory(self) -> MemoryStudy:
        assert self._memory is not None, "a ledger opened to be read is not written to"
        return self._memory

    def _read(self, trial: optuna.trial.FrozenTrial) -> None:
        """Take one stored trial into memory."""
        self._ids[trial.number] = trial._trial_id
        if RESULT in trial.user_attrs:
            self._results[trial.number] = _RESULTS.validate_json(trial.user_attrs[RESULT])
        marks = trial.user_attrs.get(MARKS, {"earlier": None, "now": None})
        # the last attempt's joules are part of its result, when it came to one
        names = ["earlier"] if RESULT in trial.user_attrs else ["earlier", "now"]
        attempts = [_LINE.validate_python(marks[name]) for name in names if marks[name]]
        if attempts:
            self._interrupted[trial.number] = joined("interrupted", attempts)

    def _attempts(self, number: int) -> list[EnergyLine]:
        """Return the joules of earlier, interrupted attempts, as no or one line."""
        return [self._interrupted[number]] if number in self._interrupted else []

    def _set_marks(self, number: int, now: EnergyLine | None) -> None:
        """Write down the joules of earlier attempts and of the present one, in one statement."""
        earlier = [_LINE.dump_python(line, mode="json") for line in self._attempts(number)]
        present = None if now is None else _LINE.dump_python(now, mode="json")
        self._set(number, MARKS, {"earlier": earlier[0] if earlier else None, "now": present})

    def _set(self, number: int, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self._ids[number], name, value)

    def _tell(self, result: TrialResult) -> None:
        trial_id = self._ids[result.number]
        # Every trial is told of every constraint: Optuna's Gaussian process refuses a study in
        # which one has fewer. 0 is what is not known to be violated, as before training.
        constraints = {**dict.fromkeys(self.constraints, 0.0), **result.constraints}
        state, values = self._optuna_outcome(result)
        told = self._in_memory.tell(result.number, state, values, constraints)
        known = self._storage.get_trial_system_attrs(trial_id)
        for key, value in told.system_attrs.items():
            if key not in known:
                self._storage.set_trial_system_attr(trial_id, key, value)
        self._storage.set_trial_state_values(trial_id, state, values)
        self._results[result.number] = result

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
        values = [result.metrics.get(name, self._median(name)) for name in self.objectives]
        if any(value is None for value in values):
            return OptunaState.FAIL, None
        return OptunaState.COMPLETE, [float(value) for value in values if value is not None]

    def _median(self, name: str) -> float | None:
        known = sorted(
            result.metrics[name]
            for result in self._results.values()
            if result.state is TrialState.COMPLETE and name in result.metrics
        )
        if known:
            return known[len(known) // 2]
        return 0.5 if METRICS[name].is_score else None


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


def joined(name: str, lines: Sequence[EnergyLine]) -> EnergyLine:
    """Return several lines as one."""
    return EnergyLine(
        line=name,
        energy_j=total_energy_j(lines),
        duration_s=sum(line.duration_s for line in lines),
        provenance=weakest(line.provenance for line in lines),
        source=" + ".join(dict.fromkeys(line.source for line in lines)),
    )

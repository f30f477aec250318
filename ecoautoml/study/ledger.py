"""The ledger: an Optuna study that holds everything a search knows.

Optuna's trial carries parameters, values and constraints, so that its samplers and its dashboard
work on it; the whole `TrialResult` stands beside them as one user attribute. That attribute is
written first and in one statement: a process killed right after it has lost nothing, because
`unfinished` finds the result and only finishes the telling.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial
from optuna.trial import TrialState as OptunaState
from pydantic import TypeAdapter
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ecoautoml.config.models import SamplerConfig
from ecoautoml.errors import RunError
from ecoautoml.records.candidate import Candidate, Value
from ecoautoml.records.columns import METRICS
from ecoautoml.records.energy_reading import EnergyLine, total_energy_j, weakest
from ecoautoml.records.progress import EnergyMark
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.spaces.dimensions import Dimension, SearchSpace, decode
from ecoautoml.strategies.samplers import derive_seed, make_sampler

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
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.objectives, self.constraints = tuple(objectives), tuple(constraints)
        shown = without_password(storage)
        try:
            self._study = (
                _load(storage, name) if is_read_only else _create(storage, name, objectives)
            )
        except KeyError:  # Optuna's word for a study that is not there
            raise RunError(f"the ledger {shown} holds no study called {name}") from None
        except Exception as error:  # sqlalchemy and database drivers raise many classes
            reason = " ".join(str(error).split())[:200]
            raise RunError(f"the ledger {shown}: {reason}") from error
        self._check_objectives(shown, is_read_only=is_read_only)
        self._results: dict[int, TrialResult] = {}
        self._numbers: dict[int, int] = {}
        self._interrupted: dict[int, EnergyLine] = {}
        for trial in self._study.get_trials(deepcopy=False):
            self._read(trial)

    # --- reading ------------------------------------------------------------------------------

    @property
    def has_trials(self) -> bool:
        """Return whether any trial was ever proposed."""
        return bool(self._numbers)

    def results(self) -> list[TrialResult]:
        """Return the results of all finished trials, by number."""
        return [self._results[number] for number in sorted(self._results)]

    def interrupted_energy(self) -> dict[int, EnergyLine]:
        """Return the joules of attempts that were interrupted, by trial number."""
        return dict(self._interrupted)

    def attribute(self, name: str) -> Any:
        """Return a value that belongs to the whole search, None when there is none."""
        return self._study.user_attrs.get(name)

    def lines(self, name: str) -> tuple[EnergyLine, ...]:
        """Return lines of the bill that belong to no trial, stored under a name."""
        return _LINES.validate_python(self.attribute(name) or ())

    def set_lines(self, name: str, lines: Sequence[EnergyLine]) -> None:
        """Store lines of the bill that belong to no trial."""
        self.set_attribute(name, _LINES.dump_python(tuple(lines), mode="json"))

    def set_attribute(self, name: str, value: Any) -> None:
        """Store a JSON value that belongs to the whole search."""
        self._study.set_user_attr(name, value)

    # --- writing ------------------------------------------------------------------------------

    def unfinished(self, space: SearchSpace, config: SamplerConfig, seed: int) -> list[Proposal]:
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
            trial = self._reopen(frozen.number, config, seed)
            proposals.append(self._propose(trial, space, config, seed))
        return proposals

    def propose(self, space: SearchSpace, config: SamplerConfig, seed: int) -> Proposal:
        """Ask the sampler for one more trial."""
        number = len(self._numbers)
        self._study.sampler = make_sampler(config, derive_seed(seed, number, "trial"))
        trial = self._study.ask()
        self._numbers[trial.number] = trial._trial_id
        return self._propose(trial, space, config, seed)

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

    def _check_objectives(self, storage: str, *, is_read_only: bool) -> None:
        """Refuse a study made for other objectives; Optuna itself would take any."""
        known = self._study.metric_names
        if known is None and not is_read_only:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names(list(self.objectives))  # the dashboard shows them
        elif known is not None and tuple(known) != self.objectives:
            raise RunError(
                f"the ledger {storage} was made for other objectives: {', '.join(known)}"
            )

    def _read(self, trial: optuna.trial.FrozenTrial) -> None:
        """Take one stored trial into memory."""
        self._numbers[trial.number] = trial._trial_id
        if RESULT in trial.user_attrs:
            self._results[trial.number] = _RESULTS.validate_json(trial.user_attrs[RESULT])
        marks = trial.user_attrs.get(MARKS, {"earlier": None, "now": None})
        # the last attempt's joules are part of its result, when it came to one
        names = ["earlier"] if RESULT in trial.user_attrs else ["earlier", "now"]
        attempts = [_LINE.validate_python(marks[name]) for name in names if marks[name]]
        if attempts:
            self._interrupted[trial.number] = joined("interrupted", attempts)

    def _propose(
        self, trial: Trial, space: SearchSpace, config: SamplerConfig, seed: int
    ) -> Proposal:
        stored = trial.user_attrs.get(CANDIDATE)
        if stored is not None:
            return Proposal(number=trial.number, candidate=_CANDIDATES.validate_json(stored))
        with warnings.catch_warnings():
            # Optuna warns of choices that SQLite stores as text, NumPy of a study too flat to model
            warnings.simplefilter("ignore")
            candidate = decode(space, self._chooser(trial, config, seed))
        trial.set_user_attr(CANDIDATE, _CANDIDATES.dump_json(candidate).decode())
        return Proposal(number=trial.number, candidate=candidate)

    def _chooser(
        self, trial: Trial, config: SamplerConfig, seed: int
    ) -> Callable[[Dimension], Value]:
        """Return a function that lets the sampler choose one value.

        The sampler is seeded anew for every parameter: a trial that was interrupted in the middle
        of being proposed then goes on as if it had not been.
        """
        self._study.sampler = make_sampler(config, derive_seed(seed, trial.number, "relative"))
        _ = trial.relative_params

        def choose(dimension: Dimension) -> Value:
            self._study.sampler = make_sampler(
                config, derive_seed(seed, trial.number, dimension.name)
            )
            return _suggest(trial, dimension)

        return choose

    def _reopen(self, number: int, config: SamplerConfig, seed: int) -> Trial:
        self._study.sampler = make_sampler(config, derive_seed(seed, number, "trial"))
        return Trial(self._study, self._numbers[number])

    def _attempts(self, number: int) -> list[EnergyLine]:
        """Return the joules of earlier, interrupted attempts, as no or one line."""
        return [self._interrupted[number]] if number in self._interrupted else []

    def _set_marks(self, number: int, now: EnergyLine | None) -> None:
        """Write down the joules of earlier attempts and of the present one, in one statement."""
        earlier = [_LINE.dump_python(line, mode="json") for line in self._attempts(number)]
        present = None if now is None else _LINE.dump_python(now, mode="json")
        self._set(number, MARKS, {"earlier": earlier[0] if earlier else None, "now": present})

    def _set(self, number: int, name: str, value: Any) -> None:
        self._study._storage.set_trial_user_attr(self._numbers[number], name, value)

    def _tell(self, result: TrialResult) -> None:
        trial_id = self._numbers[result.number]
        trial = Trial(self._study, trial_id)
        # Every trial is told of every constraint: Optuna's Gaussian process refuses a study in
        # which one has fewer. 0 is what is not known to be violated, as before training.
        unknown = dict.fromkeys(self.constraints, 0.0)
        for text, violation in {**unknown, **result.constraints}.items():
            _set_constraint(trial, text, violation)
        state, values = self._optuna_outcome(result)
        self._study.tell(result.number, values, state=state)
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


def _create(storage: str, name: str, objectives: Sequence[str]) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=[METRICS[name].direction for name in objectives],
        load_if_exists=True,
    )


def _load(storage: str, name: str) -> optuna.Study:
    """Return a study that is there; nothing is created where there is none.

    Raises:
        KeyError: There is no such study.
    """
    url = make_url(storage)
    file = url.database or ""
    is_plain_file = url.get_backend_name() == "sqlite" and not file.startswith("file:")
    if is_plain_file and not Path(file).is_file():  # merely connecting would make an empty one
        raise KeyError(name)
    tables = optuna.storages.RDBStorage(storage, skip_table_creation=True)
    return optuna.load_study(storage=tables, study_name=name)


def without_password(storage: str) -> str:
    """Return a storage URL that may be shown: no password, and no options, which can hold one.

    Raises:
        RunError: It cannot be read, so what in it is a password cannot be told.
    """
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        url = None
    if url is None or "@" in (url.host or ""):
        raise RunError(
            "storage: it is not a database URL; write it like sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/NAME, with %40 for an @ in the password"
        )
    return url.set(query={}).render_as_string(hide_password=True)


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


def _set_constraint(trial: Trial, text: str, violation: float) -> None:
    """Set a constraint; a trial told again after a crash may have it already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial.set_constraint(text, violation)


def joined(name: str, lines: Sequence[EnergyLine]) -> EnergyLine:
    """Return several lines as one."""
    return EnergyLine(
        line=name,
        energy_j=total_energy_j(lines),
        duration_s=sum(line.duration_s for line in lines),
        provenance=weakest(line.provenance for line in lines),
        source=" + ".join(dict.fromkeys(line.source for line in lines)),
    )

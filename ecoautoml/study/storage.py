"""Where a ledger is kept: an Optuna study in a database, and its copy in memory for samplers."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ecoautoml.errors import EcoAutoMLError, RunError
from ecoautoml.records.columns import METRICS

CANDIDATE = "candidate"
"""User attribute that every trial of a search has."""
SAMPLER_STATE = "sampler_state"
"""User attribute of the study: what a sampler noted about the whole study."""
PATIENCE_S = 10.0
"""How long a database that is locked or away is asked again."""
PAUSE_S = 0.5

_Answer = TypeVar("_Answer")
_TWO_WRITERS = (
    "another process is writing to the ledger of this search, or a trial was added to it in a "
    "dashboard; end the other, then go on with --resume"
)


class StoredStudy:
    """A study in a database, for one process that writes.

    Args:
        storage: Optuna storage URL.
        name: Study name.
        objectives: Column names, in order.
        is_read_only: Whether the study must exist and nothing is to be written.

    Raises:
        RunError: The storage cannot be opened, or holds no such study, one of other objectives,
            or one that is not of a search. Every method raises it too, when the database stays
            locked or away for ``PATIENCE_S``, or when another process has written.
    """

    def __init__(
        self, storage: str, name: str, objectives: Sequence[str], *, is_read_only: bool
    ) -> None:
        self._shown = without_password(storage)
        self._study = _open_study(storage, name, objectives, is_read_only=is_read_only)
        self._ids = {trial.number: trial._trial_id for trial in self.trials()}

    @property
    def n_trials(self) -> int:
        """Return how many trials there are, as far as this process knows."""
        return len(self._ids)

    def trials(self, *states: OptunaState) -> list[FrozenTrial]:
        """Return the trials in these states, all without any, by number."""
        return self._patiently(
            lambda: self._study.get_trials(deepcopy=False, states=states or None)
        )

    def attributes(self) -> dict[str, Any]:
        """Return the user attributes of the study."""
        return self._patiently(lambda: self._study.user_attrs)

    def set_attribute(self, name: str, value: Any) -> None:
        """Write a user attribute of the study."""
        self._patiently(lambda: self._study.set_user_attr(name, value))

    def set_trial_attribute(
        self, number: int, name: str, value: Any, *, is_patient: bool = True
    ) -> None:
        """Write a user attribute of a trial; without patience, try only once."""
        trial_id = self._ids[number]
        self._patiently(
            lambda: self._storage.set_trial_user_attr(trial_id, name, value), is_patient=is_patient
        )

    def check_alone(self) -> None:
        """Raise when there are trials that another process has added."""
        if len(self.trials()) != self.n_trials:
            raise RunError(_TWO_WRITERS)

    def add(self, trial: FrozenTrial) -> None:
        """Write a new trial with all it carries, in one statement."""
        # tried only once: Optuna itself tries again, and twice written would be two trials
        trial_id = self._patiently(
            lambda: self._storage.create_new_trial(self._study._study_id, template_trial=trial),
            is_patient=False,
        )
        stored = self._patiently(lambda: self._storage.get_trial(trial_id))
        if stored.number != trial.number:  # written by another since `check_alone`
            self._finish(trial_id, OptunaState.FAIL, None)
            raise RunError(_TWO_WRITERS)
        self._ids[trial.number] = trial_id

    def finish(self, told: FrozenTrial) -> None:
        """Write the end of a trial: what Optuna noted about it, then its state and values."""
        trial_id = self._ids[told.number]
        known = self._patiently(lambda: self._storage.get_trial_system_attrs(trial_id))
        for key, value in told.system_attrs.items():
            if key not in known:
                self._note(trial_id, key, value)
        self._finish(trial_id, told.state, told.values)

    def in_memory(self) -> MemoryStudy:
        """Return a copy in memory."""
        state = self.attributes().get(SAMPLER_STATE, {})
        return MemoryStudy(self._study.directions, self.trials(), state)

    @property
    def _storage(self) -> optuna.storages.BaseStorage:
        return self._study._storage

    def _note(self, trial_id: int, key: str, value: Any) -> None:
        self._patiently(lambda: self._storage.set_trial_system_attr(trial_id, key, value))

    def _finish(self, trial_id: int, state: OptunaState, values: Sequence[float] | None) -> None:
        self._patiently(lambda: self._storage.set_trial_state_values(trial_id, state, values))

    def _patiently(self, ask: Callable[[], _Answer], *, is_patient: bool = True) -> _Answer:
        """Return what the database answers; ask again while it is locked or away."""
        until_s = time.monotonic() + (PATIENCE_S if is_patient else 0.0)
        while True:
            try:
                return ask()
            except UpdateFinishedTrialError as error:
                raise RunError(_TWO_WRITERS) from error
            except (StorageInternalError, SQLAlchemyError) as error:
                if time.monotonic() >= until_s:
                    raise RunError(
                        f"the ledger {self._shown} does not answer any more ({_reason(error)}); "
                        "what it holds is kept: go on with --resume when it does"
                    ) from error
            time.sleep(PAUSE_S)


class MemoryStudy:
    """A copy in memory of a study, on which samplers work.

    A sampler writes down every value it chooses. In a database that is a transaction each, some
    40 for one trial, and a process killed between two of them leaves a trial half chosen. Here a
    trial is chosen in memory and then stored whole.

    Args:
        directions: Of the objectives.
        trials: Trials to copy, in the order of their numbers.
        state: What samplers noted about the study before (see `state`).
    """

    def __init__(
        self,
        directions: Sequence[StudyDirection],
        trials: Sequence[FrozenTrial],
        state: Mapping[str, Any],
    ) -> None:
        self._study = optuna.create_study(directions=directions)
        for trial in trials:
            self._add(trial)
        for key, value in state.items():
            self._study._storage.set_study_system_attr(self._study._study_id, key, value)

    def state(self) -> dict[str, Any]:
        """Return what samplers noted about the study: the parents of NSGA-II's generations.

        Trials are named by their ids in this copy, which are their numbers.
        """
        return self._study._storage.get_study_system_attrs(self._study._study_id)

    def choose(self, sampler: BaseSampler, decide: Callable[[Trial], None]) -> FrozenTrial:
        """Ask the sampler for one more trial.

        Args:
            sampler: What chooses.
            decide: Asks the trial for the values it needs.

        Returns:
            The trial, running, with its parameters and what the sampler noted.
        """
        self._study.sampler = sampler
        with warnings.catch_warnings():
            # NumPy warns of a study too flat to model
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            decide(trial)
        return copy.deepcopy(self._frozen(trial.number))

    def tell(
        self,
        number: int,
        state: OptunaState,
        values: Sequence[float] | None,
        constraints: Mapping[str, float],
    ) -> FrozenTrial:
        """Tell the outcome of a trial and return it, with all that was noted about it."""
        trial = Trial(self._study, self._frozen(number)._trial_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one told again after a crash has some already
            for text, violation in constraints.items():
                trial.set_constraint(text, violation)
        self._study.tell(number, values, state=state)
        return self._frozen(number)

    def _add(self, trial: FrozenTrial) -> None:
        if trial.state is OptunaState.WAITING:  # somebody's wish, which `ask` would take for ours
            trial = copy.copy(trial)
            trial.state = OptunaState.FAIL
        self._study._storage.create_new_trial(self._study._study_id, template_trial=trial)

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]


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


def _open_study(
    storage: str, name: str, objectives: Sequence[str], *, is_read_only: bool
) -> optuna.Study:
    """Return the study of that name; it is made where there is none, unless only to be read."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shown = without_password(storage)
    try:
        study = _load(storage, name) if is_read_only else _create(storage, name, objectives)
        known = study.metric_names
        if _is_foreign(study, objectives):
            raise RunError(
                f"the ledger {shown} holds a study called {name} that was not made by a search; "
                "take another name with --set name=OTHER"
            )
        if known is None and not is_read_only:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(objectives))  # the dashboard shows them
    except EcoAutoMLError:
        raise
    except KeyError:  # Optuna's word for a study that is not there
        raise RunError(f"the ledger {shown} holds no study called {name}") from None
    except Exception as error:  # sqlalchemy and database drivers raise many classes
        raise RunError(f"the ledger {shown}: {_reason(error)}") from error
    if known is not None and tuple(known) != tuple(objectives):  # Optuna would take any
        raise RunError(f"the ledger {shown} was made for other objectives: {', '.join(known)}")
    return study


def _is_foreign(study: optuna.Study, objectives: Sequence[str]) -> bool:
    """Return whether somebody else made a study: a search names its objectives first."""
    trials = study.get_trials(deepcopy=False)
    if study.metric_names is None:
        is_other = [one.name.lower() for one in study.directions] != _directions(objectives)
        return bool(trials or study.user_attrs or is_other)
    return bool(trials) and not any(CANDIDATE in trial.user_attrs for trial in trials)


def _directions(objectives: Sequence[str]) -> list[Literal["maximize", "minimize"]]:
    return [METRICS[name].direction for name in objectives]


def _reason(error: BaseException) -> str:
    """Return what a database or its driver said, in one line."""
    cause = error.__cause__ or error
    said = getattr(cause, "orig", None) or cause
    return " ".join(str(said).split())[:200]


def _create(storage: str, name: str, objectives: Sequence[str]) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=name,
        directions=_directions(objectives),
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

"""Where a ledger is kept: an Optuna study in a database, and its copy in memory for samplers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ecoautoml.errors import RunError
from ecoautoml.records.columns import METRICS


def open_study(
    storage: str, name: str, objectives: Sequence[str], *, is_read_only: bool
) -> optuna.Study:
    """Return the study of that name; it is made where there is none, unless only to be read.

    Raises:
        RunError: The storage cannot be opened, holds no such study, or one of other objectives.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    shown = without_password(storage)
    try:
        study = _load(storage, name) if is_read_only else _create(storage, name, objectives)
    except KeyError:  # Optuna's word for a study that is not there
        raise RunError(f"the ledger {shown} holds no study called {name}") from None
    except Exception as error:  # sqlalchemy and database drivers raise many classes
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"the ledger {shown}: {reason}") from error
    known = study.metric_names
    if known is None and not is_read_only:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(list(objectives))  # the dashboard shows them
    elif known is not None and tuple(known) != tuple(objectives):  # Optuna would take any
        raise RunError(f"the ledger {shown} was made for other objectives: {', '.join(known)}")
    return study


class MemoryStudy:
    """A copy in memory of a study, on which samplers work.

    A sampler writes down every value it chooses. In a database that is a transaction each, some
    40 for one trial, and a process killed between two of them leaves a trial half chosen. Here a
    trial is chosen in memory and then stored whole.

    Args:
        stored: The study to copy; not written to.
    """

    def __init__(self, stored: optuna.Study) -> None:
        self._study = optuna.create_study(directions=stored.directions)
        for trial in sorted(stored.get_trials(deepcopy=False), key=lambda one: one.number):
            self.add(trial)

    def add(self, trial: FrozenTrial) -> None:
        """Copy a trial; they must come in the order of their numbers."""
        self._study._storage.create_new_trial(self._study._study_id, template_trial=trial)

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

"""The folder of one run: its configuration, its lock, where its files lie."""

from __future__ import annotations

import fcntl
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml
from pydantic import TypeAdapter

from ecoautoml.config.load import load_config
from ecoautoml.config.models import SearchConfig
from ecoautoml.errors import RunError
from ecoautoml.spaces.dimensions import SearchSpace

CONFIG_FILE, ENVIRONMENT_FILE = "config.yaml", "environment.json"
SPACE_FILE, LEDGER_FILE = "space.json", "ledger.db"
MAY_CHANGE = {"budget", "executor", "output", "keep_models", "carbon"}
"""Keys that a resumed run may change: they do not alter what a trial is."""


_SPACES = TypeAdapter(SearchSpace)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeOf:
    """What a run is made of, beside its configuration.

    Attributes:
        space: The search space, resolved.
        environment: Versions, hardware, seed and commit as JSON values.
    """

    space: SearchSpace
    environment: dict[str, Any]


class RunFolder:
    """A run's folder, held by one search at a time.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None
        self._is_new = False

    @property
    def models(self) -> Path:
        """Return the folder of trained models."""
        return self.path / "models"

    def model(self, number: int) -> Path:
        """Return the folder of one trial's model."""
        return self.models / f"trial_{number:04d}"

    def has_model(self, number: int) -> bool:
        """Return whether a trial's trained network is kept."""
        return (self.model(number) / "candidate.json").is_file()

    @property
    def paused(self) -> Path:
        """Return the folder of paused trainings."""
        return self.path / "paused"

    @property
    def data(self) -> Path:
        """Return the folder of prepared images."""
        return self.path / "data"

    def exists(self) -> bool:
        """Return whether it holds a run."""
        return (self.path / CONFIG_FILE).is_file()

    def config(self) -> SearchConfig:
        """Return the configuration the run was made with.

        Raises:
            RunError: The folder holds no run.
        """
        if not self.exists():
            raise RunError(f"{self.path} holds no run (there is no {CONFIG_FILE} in it)")
        return load_config(self.path / CONFIG_FILE)

    def storage(self, config: SearchConfig) -> str:
        """Return the storage URL of the ledger."""
        return config.storage or f"sqlite:///{(self.path / LEDGER_FILE).resolve()}"

    def take(self, config: SearchConfig, *, resume: bool) -> Self:
        """Take the folder for a search, which writes nothing but its lock.

        Raises:
            RunError: It holds a run and ``resume`` is False, is in use, or was made with another
                configuration; or the folder cannot be written.
        """
        try:
            return self._take(config, resume=resume)
        except OSError as error:
            raise RunError(f"output: {self.path} cannot be written ({error.strerror})") from error

    def _take(self, config: SearchConfig, *, resume: bool) -> Self:
        if self.exists() and not resume:
            raise RunError(
                f"{self.path} already holds a run; add --resume to go on with it, or "
                "--set name=OTHER to begin another"
            )
        if self.exists():
            self._check_same(config)
        is_new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        self._is_new = is_new
        return self

    def begin(self, config: SearchConfig, made_of: MadeOf) -> None:
        """Write down what the run is made with; from here on it can be resumed.

        Raises:
            RunError: It was begun with another space or for another target.
        """
        if self.exists():
            self._check_made_of(made_of)
        space = _SPACES.dump_json(made_of.space, indent=2).decode()
        tree = config.model_dump(mode="json")
        _write(self._next_environment_file(), json.dumps(made_of.environment, indent=2))
        _write(self.path / SPACE_FILE, space)
        _write(self.path / CONFIG_FILE, yaml.safe_dump(tree, sort_keys=False))
        self._is_new = False

    def close(self) -> None:
        """Give the folder back; one in which nothing was begun is removed."""
        if self._is_new:
            shutil.rmtree(self.path, ignore_errors=True)
            self._is_new = False
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _locked(self) -> IO[str]:
        """Return a file with a lock, which a killed process gives up by itself."""
        lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise RunError(f"{self.path} is in use by another search") from None
        return lock

    def _check_same(self, config: SearchConfig) -> None:
        before = self.config().model_dump(mode="json")
        now = config.model_dump(mode="json")
        changed = [key for key in now if key not in MAY_CHANGE and now[key] != before.get(key)]
        if changed:
            raise RunError(
                f"{self.path} was made with another {', '.join(changed)}; a resumed run may only "
                f"change {', '.join(sorted(MAY_CHANGE))}. Begin another with --set name=OTHER"
            )

    def _check_made_of(self, made_of: MadeOf) -> None:
        """Refuse a space file that was changed, or another target, since the run was begun."""
        before = json.loads((self.path / ENVIRONMENT_FILE).read_text())
        target = before.get("hardware", {}).get("measured on")
        if target != made_of.environment["hardware"]["measured on"]:
            raise RunError(f"{self.path} was measured on {target}; resume it where there is one")
        space = self.path / SPACE_FILE
        if space.is_file() and _SPACES.validate_json(space.read_text()) != made_of.space:
            raise RunError(
                f"{self.path} was made with another version of the space {made_of.space.name}; "
                "begin another with --set name=OTHER"
            )

    def _next_environment_file(self) -> Path:
        """Return a file of its own for every session: a resumed run may have moved."""
        first = self.path / ENVIRONMENT_FILE
        if not self.exists():  # one left by a session killed while it began says nothing
            return first
        number = 2
        while (path := first.with_stem(f"{first.stem}_{number}")).exists():
            number += 1
        return path


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all: a resumed run must be able to read the old one."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)

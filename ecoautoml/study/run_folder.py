"""The folder of one run: its configuration, its lock, where its files lie."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

from ecoautoml.config.load import load_config
from ecoautoml.config.models import SearchConfig
from ecoautoml.errors import RunError

CONFIG_FILE, ENVIRONMENT_FILE, LEDGER_FILE = "config.yaml", "environment.json", "ledger.db"
MAY_CHANGE = {"budget", "executor", "output", "name", "keep_models", "carbon"}
"""Keys that a resumed run may change: they do not alter what a trial is."""


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
                configuration.
        """
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

    def begin(self, config: SearchConfig, environment: dict[str, Any]) -> None:
        """Write down what the run is made with; from here on it can be resumed."""
        tree = config.model_dump(mode="json")
        _write(self.path / ENVIRONMENT_FILE, json.dumps(environment, indent=2))
        _write(self.path / CONFIG_FILE, yaml.safe_dump(tree, sort_keys=False))
        self._is_new = False

    def close(self) -> None:
        """Give the folder back; one in which nothing was begun is removed."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._is_new:
            shutil.rmtree(self.path, ignore_errors=True)
            self._is_new = False

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
        except OSError:
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


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all: a resumed run must be able to read the old one."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)

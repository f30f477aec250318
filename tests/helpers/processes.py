"""Running the command line in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HELPERS = Path(__file__).parent


def write_config(path: Path, tree: Mapping[str, Any]) -> Path:
    """Write a configuration as YAML."""
    path.write_text(yaml.safe_dump(dict(tree)))
    return path


def command(*arguments: object) -> list[str]:
    """Return the command line of ``ecoautoml`` in this environment."""
    return [sys.executable, "-m", "ecoautoml.cli.app", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return the environment in which workers find the tests' own networks."""
    path = os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "160"}


def run(*arguments: object, timeout_s: float = 200) -> subprocess.CompletedProcess[str]:
    """Run ``ecoautoml`` to its end."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
        check=False,
    )


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start ``ecoautoml`` and return the running process; errors are mixed into its output."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )


def children(pid: int) -> list[int]:
    """Return the numbers of the processes that a process has started and that still exist."""
    numbers = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [number for number in numbers if _state_and_parent(number)[1] == pid]


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    return _state_and_parent(pid)[0] not in ("", "Z", "X")


def _state_and_parent(pid: int) -> tuple[str, int]:
    """Return the letter and the parent of a process, nothing and 0 when it is gone (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)

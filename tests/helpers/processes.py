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

"""What an earlier run can tell a new one."""

from __future__ import annotations

import json
from pathlib import Path

from ecoautoml.errors import ConfigError, RunError
from ecoautoml.strategies.base import Earlier
from ecoautoml.study.finalists import settled
from ecoautoml.study.ledger import Ledger
from ecoautoml.study.run_folder import ENVIRONMENT_FILE, RunFolder
from ecoautoml.study.standing import front_numbers


def earlier_run(folder: Path, hardware: dict[str, str]) -> Earlier:
    """Return the trials of an earlier run, and its front.

    Args:
        folder: Its folder.
        hardware: Of this machine, as `ecoautoml.study.environment.environment` tells it; costs of
            a run elsewhere do not count.

    Raises:
        ConfigError: The folder holds no run that can be read.
    """
    run = RunFolder(folder)
    try:
        config = run.config()
        ledger = Ledger(run.storage(config), config.name, config.objectives, is_read_only=True)
        environment = json.loads((folder / ENVIRONMENT_FILE).read_text())
    except (RunError, OSError, ValueError) as error:
        raise ConfigError(f"sampler.warm_start: {error}") from error
    objectives, prefer = config.objectives, config.prefer
    results = settled(ledger.results(), objectives, ledger.ranking(), ledger.lost(), prefer)
    numbers = front_numbers(results, objectives, prefer)
    return Earlier(
        name=config.name,
        results=results,
        front=[one.candidate.parameters() for one in results if one.number in numbers],
        has_same_costs=environment.get("hardware", {}) == hardware,
    )

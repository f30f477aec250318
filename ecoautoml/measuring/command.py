"""The bill of a command."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ecoautoml.config.models import MeterConfig
from ecoautoml.errors import RunError
from ecoautoml.measuring.block import measure
from ecoautoml.records.energy_reading import EnergyReading, Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBill:
    """What a command cost.

    Attributes:
        exit_code: Of the command; 128 + N where signal N ended it, as a shell has it.
        energy_j: Joules over all components; None when one is unknown.
        duration_s: Seconds.
        provenance: How the joules came about; None when unknown.
        source: Meter and model.
        reasons: Why components are unknown.
        readings: The joules of each component.
    """

    exit_code: int
    energy_j: float | None
    duration_s: float
    provenance: Provenance | None
    source: str
    reasons: tuple[str, ...]
    readings: tuple[EnergyReading, ...]


def measure_command(
    command: Sequence[str],
    *,
    target: str = "auto",
    meter: MeterConfig | None = None,
    stdout: Any = None,
) -> CommandBill:
    """Run a command to its end and bill it with all processes it starts and waits for.

    SIGTERM and SIGINT go to the command, and its bill is written when it ends of them.

    Args:
        command: Program and arguments; no shell is involved.
        target: Whose joules count.
        meter: Which meter to read; the best there is by default.
        stdout: Where its output goes, as in `subprocess.run`; None: to this process's.

    Raises:
        RunError: It cannot be started.
        ConfigError: There is no such target, or a meter that was asked for cannot be read.
    """
    with measure(target, meter) as bill:
        try:
            child = subprocess.Popen(command, stdout=stdout)
        except OSError as error:
            raise RunError(f"{command[0]} cannot be started ({error.strerror})") from error
        with child, _signals_passed_on(child):
            exit_code = child.wait()
    reasons = [one.reason for one in bill.readings if one.reason is not None]
    return CommandBill(
        exit_code=exit_code if exit_code >= 0 else 128 - exit_code,
        energy_j=bill.energy_j,
        duration_s=bill.duration_s,
        provenance=bill.provenance,
        source=bill.source,
        reasons=tuple(dict.fromkeys(reasons)),
        readings=bill.readings,
    )


@contextmanager
def _signals_passed_on(child: subprocess.Popen[Any]) -> Iterator[None]:
    """Let signals end the child and not this process, so that the bill can still be written."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return

    def pass_on(number: int, frame: object) -> None:
        # Ctrl-C in a terminal has reached the child already, and twice would be once too often.
        if number != signal.SIGINT or not _is_in_foreground():
            child.send_signal(number)

    before = {kind: signal.signal(kind, pass_on) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _is_in_foreground() -> bool:
    """Return whether this process's group is the one that its terminal sends Ctrl-C to."""
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # no terminal
        return False

"""Whether the GPU meter can be believed: checks to run on a real board, in three parts.

    python benchmarks/gpu_validation.py --part 1|2|3 [--output PATH] [--rehearse]

Part 1: V1 how often the counter moves; V2 our joules beside those of zeus and CodeCarbon, where
they are installed; V3 loads that repeat as often as the counter moves; V4 the counter against
integrated power; V6 inputs of zeros; V7 misuse. Part 2: V5 drift with temperature; V8 which
differences can be told. Part 3: V9 a model of joules from operations and bytes.

Each part takes under nine minutes and leaves clocks, power limits and MIG as they are. There is no
meter at the wall here, so it shows that the readings agree with each other and with known ratios of
work; the gain error between boards, about 5 %, stays unseen. Writes a JSON file and a table in
Markdown that name the board, its driver and the date. ``--rehearse`` runs the same checks on a
simulated board, to find mistakes in the checks; its results say nothing about any board.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from gpu_checks import PARTS, Row
from gpu_rigs import ROOT, NoBoardError, Rig, StandInRig, TorchRig

LATEST_START_S = 480.0
"""Seconds after which no further check begins, so that a part ends within nine minutes."""


def run_part(rig: Rig, part: int, scale: float) -> list[Row]:
    """Return the rows of a part's checks; one that fails as a program is a row, too.

    Args:
        rig: What to run on.
        part: 1, 2 or 3.
        scale: Times the usual seconds and repeats.
    """
    began_s = rig.clock.now()
    rows = []
    for check in PARTS[part]:
        name = check.__name__.split("_")[0].upper()
        if rig.clock.now() - began_s > LATEST_START_S:
            note = "not run: the time was up"
            rows.append(Row(check=name, case="all", value=None, verdict="absent", note=note))
            continue
        try:
            rows += list(check(rig, scale))
        except Exception as error:  # noqa: BLE001  (the other checks are still worth their time)
            note = f"{type(error).__name__}: {error}"
            rows.append(Row(check=name, case="all", value=None, verdict="fail", note=note))
    # What is not a number was not found.
    known = [row if row.value is None or isfinite(row.value) else _unknown(row) for row in rows]
    return sorted(known, key=lambda row: row.check)


def _unknown(row: Row) -> Row:
    return replace(row, value=None, verdict="fail", note=f"{row.note} unknown".strip())


def describe(rig: Rig, part: int, seconds: float) -> dict[str, Any]:
    """Return what the rows were found on."""
    return {
        "part": part,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "board": rig.board,
        "driver": rig.driver,
        "software": dict(rig.software),
        "python": sys.version.split()[0],
        "seconds": round(seconds, 1),
        "is_rehearsal": isinstance(rig, StandInRig),
    }


def as_markdown(about: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return the rows as a table under what they were found on."""
    title = "Rehearsal on a simulated board" if about["is_rehearsal"] else about["board"]
    software = ", ".join(f"{name} {version}" for name, version in about["software"].items())
    lines = [
        f"# GPU validation, part {about['part']}: {title}",
        "",
        f"Driver {about['driver']}, {about['date']}, {about['seconds']} s. {software}".rstrip(),
        "",
        "| Check | Case | Found | Had to be | Verdict | Note |",
        "|---|---|--:|---|---|---|",
    ]
    for row in rows:
        found = "–" if row.value is None else f"{row.value:.4g} {row.unit}".rstrip()
        cells = (row.check, row.case, found, row.limit, row.verdict, row.note)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def default_output(about: dict[str, Any]) -> Path:
    """Return where results go, without suffix."""
    board = re.sub(r"[^A-Za-z0-9]+", "_", about["board"]).strip("_").lower()
    name = f"gpu_validation_{board}_{about['date'][:10]}_part{about['part']}"
    return ROOT / "benchmarks" / "results" / name


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", type=int, choices=sorted(PARTS), required=True)
    parser.add_argument("--output", type=Path, help="where to write, without .json and .md")
    parser.add_argument("--rehearse", action="store_true", help="on a simulated board")
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual seconds")
    options = parser.parse_args(arguments)
    try:
        rig: Rig = StandInRig() if options.rehearse else TorchRig()
    except NoBoardError as error:
        print(f"There is no GPU to validate on: {error}.", file=sys.stderr)
        return 2
    started_s = rig.clock.now()
    rows = run_part(rig, options.part, options.scale)
    about = describe(rig, options.part, rig.clock.now() - started_s)
    output = options.output or default_output(about)
    output.parent.mkdir(parents=True, exist_ok=True)
    tree = {"about": about, "rows": [asdict(row) for row in rows]}
    text = json.dumps(tree, indent=2, allow_nan=False)
    output.with_name(f"{output.name}.json").write_text(f"{text}\n")
    table = as_markdown(about, rows)
    output.with_name(f"{output.name}.md").write_text(table)
    print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

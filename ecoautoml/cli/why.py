"""``ecoautoml why``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ecoautoml.cli.options import JsonOption, RunArgument, print_json

if TYPE_CHECKING:
    from ecoautoml.records.trial_result import TrialResult
    from ecoautoml.records.turn import Turn


def why(
    run: RunArgument,
    trial: Annotated[int, typer.Option("--trial", "-t", help="Number of the trial.")],
    json: JsonOption = False,
) -> None:
    """Tell why a trial was begun, set aside, gone on with or stopped."""
    from ecoautoml.result import SearchResult

    result = SearchResult.read(run)
    turns, one = result.turns(trial), result.trial(trial)
    if json:
        print_json(
            {
                "trial": trial,
                "state": None if one is None else one.state.value,
                "reason": None if one is None else one.reason,
                "turns": [
                    {
                        "move": turn.move.value,
                        "epoch": turn.epoch,
                        "reason": turn.reason,
                        "figures": dict(turn.figures),
                    }
                    for turn in turns
                ],
            }
        )
        return
    for line in _lines(trial, one, turns):
        typer.echo(line)


def _lines(number: int, one: TrialResult | None, turns: tuple[Turn, ...]) -> list[str]:
    from ecoautoml.reports.turns import ending_words, turn_words

    lines = [f"Trial {number}"]
    if one is not None:
        values = ", ".join(f"{name} {value}" for name, value in one.candidate.parameters().items())
        lines.append(f"  {values}")
    for turn in turns:
        lines += [f"  {line}" for line in turn_words(turn)]
    lines.append(f"  {ending_words(one)}")
    return lines

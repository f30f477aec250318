"""``ecoautoml export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecoautoml.cli.options import JsonOption, RunArgument, print_json


def export(
    run: RunArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A folder of its own.")
    ],
    trial: Annotated[
        int | None, typer.Option("--trial", help="Trial number; else the suggested model.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="onnx, openvino, torchscript, torch or safetensors; else the trial's own.",
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Images per call; else the trial's own.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="fp32, fp16, int8 ...; else the trial's own.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a trial's model, and all that is needed to use it, into a folder."""
    from ecoautoml.deploy import export_model
    from ecoautoml.errors import RunError
    from ecoautoml.result import SearchResult

    result = SearchResult.read(run)
    if trial is None:
        if result.knee is None:
            raise RunError(f"{run} has no model on its front yet")
        trial = result.knee.trial
    found = export_model(
        result,
        trial,
        output,
        format=format_,
        batch_size=batch,
        precision=precision,
        is_forced=force,
    )
    made = found.preprocessing
    checked = "the trial's own file" if found.agreement is None else found.agreement.words
    if json:
        print_json(
            {
                "folder": str(found.folder),
                "files": [str(file) for file in found.files],
                "trial": trial,
                "format": made.model_format,
                "precision": made.precision,
                "batch_size": made.batch_size,
                "is_copy": found.is_copy,
                "checked": checked,
            }
        )
        return
    what = f"{made.model_format}, {made.precision}, batch {made.batch_size}"
    typer.echo(f"trial {trial} as {what}: {checked}")
    for file in found.files:
        typer.echo(str(file))

"""``ecoautoml predict``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecoautoml.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from ecoautoml.deploy import Prediction

SOME_UNREADABLE = 1
"""Exit code when an image could not be read; the others were predicted."""


def predict(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An exported folder, or a run with --trial.")
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES...", help="Image files, or folders of them.")
    ],
    trial: Annotated[int | None, typer.Option("--trial", help="Trial number, for a run.")] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="So many classes per image.")] = 1,
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, help="Images per call, where the run holds such a file."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print file, class and probability of every image, separated by tabs.

    Images that cannot be read are named and passed over; the exit code is then 1.
    """
    from ecoautoml.deploy import EcoModel
    from ecoautoml.deploy.images import files_of
    from ecoautoml.errors import DataError

    files = files_of(images)
    trees: list[dict[str, Any]] = []
    n_unreadable = 0
    with EcoModel.load(model, trial=trial, batch_size=batch) as loaded:
        for file, found in zip(files, loaded.predict_each(files), strict=True):
            if isinstance(found, DataError):
                n_unreadable += 1
                typer.echo(f"Skipped: {found}", err=True)
                trees.append({"file": str(file), "error": str(found)})
                continue
            best = _best(found, loaded.class_names, top)
            if json:
                trees.append(_tree(file, best))
                continue
            cells = (f"{name}\t{probability:.4f}" for name, probability in best)
            typer.echo("\t".join((str(file), *cells)))
    if json:
        print_json(trees)
    if n_unreadable:
        typer.echo(f"{n_unreadable} of {len(files)} images could not be read", err=True)
        raise typer.Exit(SOME_UNREADABLE)


def _best(found: Prediction, names: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Return the most probable classes, the best first; equal ones in the order of the classes."""
    order = sorted(range(len(names)), key=lambda index: -found.probabilities[index])
    return [(names[index], found.probabilities[index]) for index in order[:count]]


def _tree(file: Path, best: Sequence[tuple[str, float]]) -> dict[str, Any]:
    name, probability = best[0]
    top = [{"class": name, "probability": probability} for name, probability in best]
    return {"file": str(file), "class": name, "probability": probability, "top": top}

"""``ecoautoml measure``: a model, two against each other, or any command."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ecoautoml.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from ecoautoml.measuring import CommandBill
    from ecoautoml.records.measurement import Comparison, InferenceMeasurement

DEFAULT = "model"


class _WithDefault(TyperGroup):
    """``measure X`` is ``measure model X``, unless X is one of the commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_WithDefault,
    help="Measure a model, compare two, or bill a command: measure MODEL, measure compare A B, "
    "measure run -- COMMAND.",
    no_args_is_help=True,
)

_MODEL = (
    "An ONNX file, a folder with a checkpoint (runs/NAME/models/trial_0012), or timm:NAME "
    "(random weights)."
)
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        exists=True,
        file_okay=False,
        help="A folder of images to measure on; else the run's own, or two photographs.",
    ),
]
TargetOption = Annotated[str, typer.Option("--target", help="auto, cpu, cuda or cuda:N.")]
PrecisionOption = Annotated[
    float, typer.Option("--precision", help="Relative half-width of the interval asked for.")
]


@app.command(DEFAULT)
def model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL)],
    batch: Annotated[str, typer.Option("--batch", help="Images per call: 1 or 1,32.")] = "1",
    images: ImagesOption = None,
    target: TargetOption = "auto",
    precision: PrecisionOption = 0.02,
    json: JsonOption = False,
) -> None:
    """Measure energy and latency of a model. With --json and several batches: a list."""
    from ecoautoml.measuring import measure_model

    sizes = _sizes(batch)
    found = measure_model(
        model, batch_sizes=sizes, images=images, target=target, precision=precision
    )
    if json:
        trees = [_as_json(one) for one in found]
        print_json(trees if len(trees) > 1 else trees[0])
        return
    for one in found:
        typer.echo(_text(one, precision))


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_MODEL)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other model.")],
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images per call.")] = 1,
    images: ImagesOption = None,
    target: TargetOption = "auto",
    precision: PrecisionOption = 0.02,
    json: JsonOption = False,
) -> None:
    """Say which of two models needs less energy, by how much, or that it is a tie."""
    from ecoautoml.measuring import compare_models

    comparison, measured = compare_models(
        a, b, batch_size=batch, images=images, target=target, precision=precision
    )
    if json:
        print_json(
            {
                "verdict": comparison.verdict,
                "ratio": comparison.ratio,
                "interval": [comparison.ratio_low, comparison.ratio_high],
                "confidence": comparison.confidence,
                "rounds": comparison.n,
                "A": {"model": a, **_as_json(measured[0])},
                "B": {"model": b, **_as_json(measured[1])},
            }
        )
        return
    for name, each, one in zip("AB", (a, b), measured, strict=True):
        typer.echo(f"{name}  {each}\n   {_text(one)}")
    typer.echo(_verdict(comparison))


@app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What to run.")],
    target: TargetOption = "auto",
    json: JsonOption = False,
) -> None:
    """Run a command and bill it. Exits as the command does.

    With --json, standard output holds the JSON alone; the command's goes to standard error.
    """
    from ecoautoml.measuring import measure_command

    bill = measure_command(command, target=target, stdout=sys.stderr if json else None)
    if json:
        print_json(asdict(bill))
    else:
        typer.echo(_bill_text(bill), err=True)
    raise typer.Exit(bill.exit_code if bill.exit_code >= 0 else 128 - bill.exit_code)


def _sizes(batch: str) -> list[int]:
    from ecoautoml.errors import ConfigError

    try:
        sizes = [int(part) for part in batch.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise ConfigError(f"--batch {batch}: give whole numbers from 1, such as 1 or 1,32")
    return sizes


def _as_json(one: InferenceMeasurement) -> dict[str, Any]:
    return {
        "batch_size": one.batch_size,
        "inference_energy_j": one.energy_j,
        "interval_j": [one.energy_low_j, one.energy_high_j],
        "provenance": one.provenance,
        "source": one.source,
        "latency_ms": one.latency_ms,
        "latency_p95_ms": one.latency_p95_ms,
        "throughput_images_per_s": 1e3 * one.batch_size / one.latency_ms,
        "n_blocks": one.n_blocks,
        "is_precise": one.is_precise,
    }


def _text(one: InferenceMeasurement, precision: float | None = None) -> str:
    from ecoautoml.reports.wording import format_metric

    name = "inference_energy_j"
    energy = format_metric(name, one.energy_j, one.provenance)
    if one.energy_low_j is not None and one.energy_high_j is not None:
        low, high = (format_metric(name, end) for end in (one.energy_low_j, one.energy_high_j))
        energy += f" per image (95 %: {low} to {high})"
    rate = 1e3 * one.batch_size / one.latency_ms
    text = (
        f"batch {one.batch_size}: {energy}, {one.latency_ms:.4g} ms per call (p95 "
        f"{one.latency_p95_ms:.4g}), {rate:,.0f} images/s; {one.provenance or 'unknown'}, "
        f"{one.source}"
    )
    if precision is not None and not one.is_precise:
        text += f"; the interval is wider than the {100 * precision:g} % asked for"
    return text


def _verdict(comparison: Comparison) -> str:
    if comparison.ratio is None:
        return "No verdict: the joules of one of them are unknown."
    interval = (
        f"{100 * comparison.confidence:g} % interval {comparison.ratio_low:.3f} to "
        f"{comparison.ratio_high:.3f}, {comparison.n} rounds in turn"
    )
    ratio = f"A needs {comparison.ratio:.3f} times the joules of B ({interval})"
    if comparison.verdict == "tie":
        return f"Tie: {ratio}."
    return f"{comparison.verdict} needs less: {ratio}."


def _bill_text(bill: CommandBill) -> str:
    from ecoautoml.reports.wording import format_metric

    energy = format_metric("energy_j", bill.energy_j, bill.provenance)
    why = f"; {'; '.join(bill.reasons)}" if bill.reasons else ""
    kind = bill.provenance or "unknown"
    return f"{energy} in {bill.duration_s:.3g} s ({kind}, {bill.source}){why}"

"""``ecoautoml measure``: a model, two against each other, or any command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ecoautoml.cli import calibrate as calibrate_command
from ecoautoml.cli.measure_words import bill_words, codecarbon_words, measured_rows, verdict_words
from ecoautoml.cli.meter_options import MeterOption, MeterOptionOption, chosen_meter
from ecoautoml.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from ecoautoml.energy.codecarbon_check import CodeCarbonReading
    from ecoautoml.measuring import CommandBill
    from ecoautoml.records.measurement import InferenceMeasurement

DEFAULT = "model"
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


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
app.command("calibrate")(calibrate_command.calibrate)

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
TargetOption = Annotated[
    str, typer.Option("--target", help="auto, cpu, cuda or cuda:N; ONNX files run on the cpu.")
]
PrecisionOption = Annotated[
    float,
    typer.Option(
        "--precision", min=0.001, max=0.5, help="Half-width of the interval asked for; 0.02 = 2 %."
    ),
]


@app.command(DEFAULT)
def model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL)],
    batch: Annotated[str, typer.Option("--batch", help="Images per call: 1 or 1,32.")] = "1",
    images: ImagesOption = None,
    target: TargetOption = "auto",
    precision: PrecisionOption = 0.02,
    meter: MeterOption = None,
    option: MeterOptionOption = None,
    json: JsonOption = False,
) -> None:
    """Measure energy and latency of a model, on one thread of the CPU or on a GPU.

    With --json and several batch sizes: a list.
    """
    from ecoautoml.measuring import measure_model

    sizes = _sizes(batch)
    with _interruptible():
        found = measure_model(
            model,
            batch_sizes=sizes,
            images=images,
            target=target,
            meter=chosen_meter(meter, option),
            precision=precision,
        )
    if json:
        trees = [_as_json(one) for one in found]
        print_json(trees if len(trees) > 1 else trees[0])
        return
    for row in measured_rows([f"batch {one.batch_size}" for one in found], found, precision):
        typer.echo(row)


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_MODEL)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other model.")],
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images per call.")] = 1,
    images: ImagesOption = None,
    target: TargetOption = "auto",
    precision: PrecisionOption = 0.02,
    meter: MeterOption = None,
    option: MeterOptionOption = None,
    json: JsonOption = False,
) -> None:
    """Say which of two models needs less energy, by how much, or that it is a tie."""
    from ecoautoml.measuring import compare_models

    with _interruptible():
        comparison, measured = compare_models(
            a,
            b,
            batch_size=batch,
            images=images,
            target=target,
            meter=chosen_meter(meter, option),
            precision=precision,
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
    for row in measured_rows([f"A  {a}", f"B  {b}"], measured):
        typer.echo(row)
    typer.echo(verdict_words(comparison))


@app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What to run.")],
    target: TargetOption = "auto",
    meter: MeterOption = None,
    option: MeterOptionOption = None,
    codecarbon: Annotated[
        bool, typer.Option("--codecarbon", help="Also print what CodeCarbon says.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run a command and bill it with all processes it starts. Exits as the command does.

    With --json, standard output holds the JSON alone; the command's goes to standard error.
    """
    from ecoautoml.measuring import measure_command

    asked = chosen_meter(meter, option)

    def work() -> CommandBill:
        return measure_command(
            command, target=target, meter=asked, stdout=sys.stderr if json else None
        )

    bill, theirs = _cross_checked(work) if codecarbon else (work(), None)
    if json:
        tree = asdict(bill)
        print_json(tree if theirs is None else {**tree, "codecarbon": asdict(theirs)})
    else:
        typer.echo(bill_words(bill), err=True)
        if theirs is not None:
            typer.echo(codecarbon_words(theirs), err=True)
    raise typer.Exit(bill.exit_code)


def _cross_checked(
    work: Callable[[], CommandBill],
) -> tuple[CommandBill, CodeCarbonReading]:
    from ecoautoml.energy.codecarbon_check import codecarbon_check

    return codecarbon_check(work)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C one sentence."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("Interrupted: nothing was measured to the end.", err=True)
        raise typer.Exit(INTERRUPTED) from None


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
        "throughput_images_per_s": one.throughput_per_s,
        "n_blocks": one.n_blocks,
        "is_precise": one.is_precise,
        "flags": list(one.flags),
    }

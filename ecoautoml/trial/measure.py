"""Energy and latency of an exported file, on real images, under the device's lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecoautoml.config.models import MeasureConfig
from ecoautoml.data.tensors import ImageTensors
from ecoautoml.energy.lease import DeviceLease, lease_path
from ecoautoml.energy.protocol.blocks import measure_blocks
from ecoautoml.energy.protocol.compare import Load, measure_in_turn
from ecoautoml.energy.select import MeterSet
from ecoautoml.models.deployable import Deployable
from ecoautoml.records.measurement import InferenceMeasurement, Ranking
from ecoautoml.runtimes.base import Pixels, Runtime, Session
from ecoautoml.trial.evaluate import check_parity

DIFFERENT_INPUTS = 32
"""Batches of real images cycled through: power depends on the values (arXiv 2212.08805)."""
MOST_IMAGES = 1024
"""Images held for that at most, but two batches at least."""


def measure_session(
    session: Session, images: ImageTensors, meters: MeterSet, config: MeasureConfig, target: str
) -> InferenceMeasurement:
    """Measure a loaded model; nobody else measures on the device meanwhile."""
    load = _load("", session, images)
    with DeviceLease(lease_path(target)):
        return measure_blocks(
            load.run_once,
            meters=meters.meters,
            clock=meters.clock,
            images_per_call=load.images_per_call,
            precision=config.precision,
            max_seconds=config.max_seconds or _max_seconds(meters),
            component=meters.target_component,
            synchronize=load.synchronize,
        )


def measure_sessions_in_turn(
    sessions: Mapping[int, tuple[Session, ImageTensors]],
    meters: MeterSet,
    config: MeasureConfig,
    target: str,
) -> Ranking:
    """Measure loaded models in rounds; nobody else measures on the device meanwhile.

    Args:
        sessions: Each trial's model and the images it takes, by trial number.
        meters: What to read.
        config: How precisely.
        target: Device.
    """
    loads = [_load(str(number), *each) for number, each in sessions.items()]
    with DeviceLease(lease_path(target)):
        contest = measure_in_turn(
            loads,
            meters=meters.meters,
            clock=meters.clock,
            precision=config.final_precision,
            max_seconds=(config.max_seconds or _max_seconds(meters)) * len(loads),
            component=meters.target_component,
        )
    return Ranking(
        measurements={int(name): found for name, found in contest.measurements.items()},
        comparisons=contest.comparisons,
        rounds=contest.rounds,
    )


def _load(name: str, session: Session, images: ImageTensors) -> Load:
    """Return calls of a model on real images, a fixed number of different ones in turn."""
    pixels = images.images_nchw.numpy()
    size = session.batch_size
    n_inputs = max(2, min(DIFFERENT_INPUTS, MOST_IMAGES // size))
    order = np.arange(n_inputs * size) % len(pixels)
    inputs = [session.prepare(pixels[part]) for part in order.reshape(-1, size)]

    def run_once(call: int) -> None:
        session.run(inputs[call % n_inputs])

    return Load(name=name, run_once=run_once, images_per_call=size, synchronize=session.synchronize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """How a model is exported.

    Attributes:
        runtime: For which runtime.
        precision: In which precision.
        calibration: Training images for int8, (n, c, h, w); None where none are needed.
        folder: Where to.
    """

    runtime: Runtime
    precision: str
    calibration: Pixels | None
    folder: Path


def measure_other_batches(
    model: Deployable,
    export: Export,
    images: ImageTensors,
    meters: MeterSet,
    config: MeasureConfig,
    target: str,
) -> tuple[tuple[InferenceMeasurement, ...], str | None]:
    """Export and measure a trained model once for every further batch size asked for.

    Returns:
        What could be measured, and why the rest could not; None when all could.
    """
    found, failures = [], []
    for size in config.other_batch_sizes:
        try:
            file = export.folder / f"model_b{size}{export.runtime.suffix}"
            traced = export.runtime.trace(model, (size, *images.images_nchw.shape[1:]))
            traced.write(model, file, precision=export.precision, calibration=export.calibration)
            with export.runtime.load(file) as session:
                check_parity(session, model, images, export.precision)
                found.append(measure_session(session, images, meters, config, target))
        except Exception as error:  # noqa: BLE001  (the trial itself has all it needs)
            failures.append(f"not measured at batch size {size}: {error}")
    return tuple(found), "; ".join(failures) or None


def _max_seconds(meters: MeterSet) -> float:
    return 30 * max((meter.min_window_s for meter in meters.meters), default=0.1)

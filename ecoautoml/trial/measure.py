"""Energy and latency of an exported file, on real images, under the device's lease."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecoautoml.config.models import MeasureConfig
from ecoautoml.data.tensors import ImageTensors
from ecoautoml.energy.blocks import measure_blocks
from ecoautoml.energy.lease import DeviceLease, lease_path
from ecoautoml.energy.select import MeterSet
from ecoautoml.models.deployable import Deployable
from ecoautoml.records.trial_result import InferenceMeasurement
from ecoautoml.runtimes.base import Runtime, Session

DIFFERENT_INPUTS = 32
"""Batches of real images cycled through: power depends on the values (arXiv 2212.08805)."""


def measure_session(
    session: Session, images: ImageTensors, meters: MeterSet, config: MeasureConfig, target: str
) -> InferenceMeasurement:
    """Measure a loaded model; nobody else measures on the device meanwhile."""
    pixels = images.images_nchw.numpy()
    size = session.batch_size
    order = np.arange(DIFFERENT_INPUTS * size) % len(pixels)
    inputs = [np.ascontiguousarray(pixels[part]) for part in order.reshape(-1, size)]

    def run_once(call: int) -> None:
        session.run(inputs[call % DIFFERENT_INPUTS])

    with DeviceLease(lease_path(target)):
        return measure_blocks(
            run_once,
            meters=meters.meters,
            clock=meters.clock,
            images_per_call=size,
            precision=config.precision,
            max_seconds=config.max_seconds or _max_seconds(meters),
            component=meters.target_component,
            synchronize=session.synchronize,
        )


def measure_other_batches(
    model: Deployable,
    runtime: Runtime,
    folder: Path,
    images: ImageTensors,
    meters: MeterSet,
    config: MeasureConfig,
    target: str,
) -> tuple[InferenceMeasurement, ...]:
    """Export and measure a trained model once for every further batch size asked for."""
    found = []
    for size in config.other_batch_sizes:
        file = folder / f"model_b{size}{runtime.suffix}"
        runtime.trace(model, (size, *images.images_nchw.shape[1:])).write(model, file)
        with runtime.load(file) as session:
            found.append(measure_session(session, images, meters, config, target))
    return tuple(found)


def _max_seconds(meters: MeterSet) -> float:
    return 30 * max((meter.min_window_s for meter in meters.meters), default=0.1)

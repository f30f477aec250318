"""Energy and latency of one model, and of two against each other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ecoautoml.config.models import MeterConfig
from ecoautoml.errors import ConfigError
from ecoautoml.measuring.choosing import device_of, measure_config, opened
from ecoautoml.measuring.loading import loaded
from ecoautoml.records.measurement import Comparison, InferenceMeasurement

MEASURE_PRECISION = 0.02


def measure_model(
    model: str | Path,
    *,
    batch_sizes: Sequence[int] = (1,),
    images: Path | None = None,
    target: str = "auto",
    meter: MeterConfig | None = None,
    precision: float = MEASURE_PRECISION,
) -> list[InferenceMeasurement]:
    """Return energy and latency of a model, one measurement per batch size.

    Args:
        model: An ONNX file, a folder with a checkpoint (``runs/NAME/models/trial_0012``), or
            ``timm:NAME`` (with random weights).
        batch_sizes: Images per call; an ONNX file may be made for one only.
        images: A folder of image files to measure on; None: the run's own validation images for
            a model in a run folder, else crops of scikit-learn's two photographs.
        target: Device; an ONNX file runs on the CPU.
        meter: Which meter to read; the best there is by default.
        precision: Relative half-width of the 95 % interval at which measuring stops.

    Raises:
        EcoAutoMLError: The model cannot be loaded, exported or run.
    """
    from ecoautoml.trial.measure import measure_session

    device = device_of(model, target)
    config = measure_config(target=device, precision=precision)
    found = []
    with opened(device, meter) as set_:
        for size in batch_sizes:
            with loaded(str(model), size, images, device) as (session, pixels):
                found.append(measure_session(session, pixels, set_, config, device))
    return found


def compare_models(
    a: str | Path,
    b: str | Path,
    *,
    batch_size: int = 1,
    images: Path | None = None,
    target: str = "auto",
    meter: MeterConfig | None = None,
    precision: float = MEASURE_PRECISION,
) -> tuple[Comparison, tuple[InferenceMeasurement, InferenceMeasurement]]:
    """Measure two models in turn and return which needs less energy per image, or that they tie.

    Args:
        a: A model, as in `measure_model`.
        b: The other.
        batch_size: Images per call.
        images: As in `measure_model`.
        target: Device.
        meter: As in `measure_model`.
        precision: Relative half-width of the ratio's 99 % interval at which measuring stops.

    Returns:
        The comparison, and what was measured of A and of B.
    """
    from ecoautoml.trial.measure import measure_sessions_in_turn

    device = device_of(a, target)
    if device != device_of(b, target):
        raise ConfigError(f"{a} and {b} do not run on the same device; measure both on the cpu")
    config = measure_config(target=device, final_precision=precision)
    with ExitStack() as stack:
        meters = stack.enter_context(opened(device, meter))
        sessions = {
            number: stack.enter_context(loaded(str(model), batch_size, images, device))
            for number, model in enumerate((a, b))
        }
        ranking = measure_sessions_in_turn(sessions, meters, config, device)
    (comparison,) = ranking.comparisons
    return comparison, (ranking.measurements[0], ranking.measurements[1])

"""What one trial works with, and what follows from its candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ecoautoml.config.models import SearchConfig
from ecoautoml.data.tensors import ImageTensors
from ecoautoml.energy.select import MeterSet
from ecoautoml.errors import RuntimeExportError, TrialError
from ecoautoml.models.build import build_network
from ecoautoml.models.cost import count_macs, count_params
from ecoautoml.models.deployable import Deployable
from ecoautoml.records.candidate import Candidate
from ecoautoml.records.columns import INFERENCE_ENERGY, SCORES
from ecoautoml.records.measurement import InferenceMeasurement
from ecoautoml.records.trial_result import TrialJob
from ecoautoml.runtimes import RUNTIMES, precision_of, runtime_named
from ecoautoml.runtimes.base import Runtime, TracedModel, weight_shapes
from ecoautoml.trial.log import TrialLog
from ecoautoml.trial.parts import TrialParts, model_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the steps of one trial work with.

    Attributes:
        job: What to run.
        parts: What all trials share.
        log: Where joules and results are written down.
        meters: Open energy meters.
        runtime: The candidate's runtime.
        precision: Precision of the exported file.
        validation: Images the model is scored on.
        shape: Shape of the exported model's input (b, c, h, w).
        file: Where the exported model is written.
    """

    job: TrialJob
    parts: TrialParts
    log: TrialLog
    meters: MeterSet
    runtime: Runtime
    precision: str
    validation: ImageTensors
    shape: tuple[int, int, int, int]
    file: Path

    @property
    def folder(self) -> Path:
        """Return the folder of the trial's model."""
        return self.file.parent


def bench_for(
    job: TrialJob, parts: TrialParts, log: TrialLog, meters: MeterSet, runtime: Runtime
) -> Bench:
    """Return what a trial works with; its model's folder is there."""
    resolution = resolution_of(job.candidate, parts)
    folder = model_folder(parts.models_folder, job.number)
    folder.mkdir(parents=True, exist_ok=True)
    return Bench(
        job=job,
        parts=parts,
        log=log,
        meters=meters,
        runtime=runtime,
        precision=precision_of(job.candidate),
        validation=parts.images.get("validation", resolution),
        shape=(parts.config.measure.batch_size, parts.prepared.channels, resolution, resolution),
        file=folder / f"model{runtime.suffix}",
    )


def traced(bench: Bench, model: Deployable) -> TracedModel:
    """Return the graph of the candidate's network, traced now or before."""
    shapes = tuple(weight_shapes(model).items())
    key = (type(bench.runtime), bench.job.candidate.network_key(), shapes, bench.shape)
    return bench.parts.traces.get(key, lambda: bench.runtime.trace(model.eval(), bench.shape))


def build_deployable(candidate: Candidate, parts: TrialParts) -> Deployable:
    """Return the untrained network behind its normalisation."""
    prepared = parts.prepared
    network = build_network(
        candidate, in_chans=prepared.channels, num_classes=len(prepared.class_names)
    )
    return Deployable(network, mean=prepared.mean, std=prepared.std)


def resolution_of(candidate: Candidate, parts: TrialParts) -> int:
    """Return the input side in pixels: the candidate's, else that of the data."""
    value = candidate.architecture.get("resolution")
    return parts.prepared.image_size if value is None else int(value)


def runtime_of(candidate: Candidate, parts: TrialParts) -> Runtime:
    """Return the candidate's runtime, or the default one of the target.

    Raises:
        RuntimeExportError: It cannot run on the target.
    """
    runtime = RUNTIMES.get(runtime_named(candidate, parts.target))()
    why = runtime.why_unavailable(parts.target)
    if why is not None:
        raise RuntimeExportError(why)
    return runtime


def why_not_written(candidate: Candidate, runtime: Runtime) -> str | None:
    """Return why a runtime cannot write a candidate's precision, None when it can."""
    precision = precision_of(candidate)
    if precision in runtime.precisions:
        return runtime.why_precision_unavailable(precision)
    name = str(candidate.runtime.get("runtime"))
    return f"the runtime {name} has no {precision}, but {', '.join(runtime.precisions)}"


def measured_costs(inference: InferenceMeasurement) -> dict[str, float]:
    """Return the metrics of a measurement; an unknown energy is left out."""
    costs = {"latency_ms": inference.latency_ms}
    if inference.energy_j is not None:
        costs[INFERENCE_ENERGY] = inference.energy_j
    return costs


def counted(model: Deployable, bench: Bench) -> dict[str, float]:
    """Return the costs of a model that can be counted."""
    return {
        "params": float(count_params(model)),
        "macs": float(count_macs(model, (1, *bench.shape[1:]))),
    }


def refuse_non_finite(metrics: Mapping[str, float]) -> None:
    """Refuse numbers no sampler and no table can do anything with.

    Raises:
        TrialError: A metric is NaN or infinite.
    """
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise TrialError(f"{name} became {value}")


def asked_scores(config: SearchConfig) -> list[str]:
    """Return the scores among objectives and constraints."""
    asked = {*config.objectives, *(limit.metric for limit in config.parsed_constraints)}
    return [name for name in SCORES if name in asked]


def violations(config: SearchConfig, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the relative violation of every constraint that can be judged by now."""
    found = {limit.text: limit.violation(metrics) for limit in config.parsed_constraints}
    return {text: value for text, value in found.items() if value is not None}


def which_violated(violated: Mapping[str, float]) -> str:
    """Return which constraints are violated, and by how much, in words."""
    parts = [f"{text} by {value:.1%}" for text, value in violated.items() if value > 0]
    return "violates " + ", ".join(parts)

"""The configuration tree. Each field's meaning, unit and range stand under it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ecoautoml.config.constraints import Constraint
from ecoautoml.config.preferences import NOTHING, Prefer
from ecoautoml.config.section import Section
from ecoautoml.records.columns import METRICS
from ecoautoml.registry import suggest


def _kind_from_string(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _kind_or(default: str) -> BeforeValidator:
    """Read a bare string as the kind, and a mapping without a kind as the default kind."""

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {"kind": default, **value}
        return _kind_from_string(value)

    return BeforeValidator(fill)


def _integer_from_float(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1), BeforeValidator(_integer_from_float)]


# --- data -----------------------------------------------------------------------------------


class _Data(Section):
    image_size: Annotated[int, Field(ge=4, le=2048)] | None = None
    """Side in pixels to which images are brought when read; None: the data's own size (the median
    of the short sides, at most 224). The space's resolution is applied on top, per trial."""
    channels: Literal["auto", "grey", "rgb"] = "auto"
    """Colour channels; auto: grey when every image is grey."""
    subset: Annotated[int, Field(ge=2)] | None = None
    """Use this many images of the training split only (stratified); None: all."""
    validation_fraction: Fraction = 0.15
    """Share of the training images held out to score trials; ignored when the data bring their
    own validation split."""
    test_fraction: Fraction = 0.15
    """Share held out for the final front; ignored when the data bring their own test split."""
    split_seed: int = 0
    """Seed of the stratified splits; independent of the search's seed."""
    on_corrupt: Literal["skip", "refuse"] = "skip"
    """An image that cannot be read is skipped and named, or refused."""
    deduplicate: Literal["none", "exact", "near"] = "none"
    """Which training images are left out: exact, those with the pixels of another one of their
    class; near, also those whose 64-bit difference hash differs from such a one in at most 3 bits
    (much for images of few pixels or little detail); both, those with the pixels of a validation or
    test image. none: the last are counted and told."""


class DigitsData(_Data):
    """scikit-learn's bundled digits: 1,797 real 8×8 grey images in 10 classes."""

    kind: Literal["digits"] = "digits"


class ImageFolderData(_Data):
    """A folder with one folder of images per class, or with train/, val/ and test/ above them."""

    kind: Literal["image_folder"]
    path: Path
    """The folder."""


class ParquetData(_Data):
    """Parquet files with image bytes and a label."""

    kind: Literal["parquet"]
    path: Path
    """A file, or a folder with files named after their split (train*, val*, test*)."""
    test_path: Path | None = None
    """A file with the test images; None: the file beside ``path`` whose name has "test" in the
    place of "train", when there is one, else a share of the training images."""
    image_column: str = "image"
    """Column of encoded image bytes (or of structs with a ``bytes`` field)."""
    label_column: str = "label"
    """Column of labels, integers or strings."""


class NumpyData(_Data):
    """A NumPy archive (.npz): x_train, y_train and optionally x_val, y_val, x_test, y_test."""

    kind: Literal["numpy"]
    path: Path
    """The .npz file; images as uint8, (n, height, width) or (n, height, width, channels)."""


class TorchvisionData(_Data):
    """A data set of torchvision by its class name ("CIFAR10")."""

    kind: Literal["torchvision"]
    name: str
    """Class name in ``torchvision.datasets``."""
    path: Path = Path("data")
    """Folder that holds, or will hold, its files."""
    download: bool = False
    """Whether it may be downloaded."""


class HuggingfaceData(_Data):
    """A data set of the Hugging Face hub, or a local folder of one, by name."""

    kind: Literal["huggingface"]
    name: str
    """Name on the hub, or a local folder."""
    image_column: str = "image"
    """Column of images."""
    label_column: str = "label"
    """Column of labels."""


class AutoData(_Data):
    """Images at a path; the kind follows from what stands there."""

    kind: Literal["auto"]
    path: Path
    """A folder of class folders, a Parquet file or folder, or an .npz file."""


DataConfig = Annotated[
    DigitsData
    | ImageFolderData
    | ParquetData
    | NumpyData
    | TorchvisionData
    | HuggingfaceData
    | AutoData,
    Field(discriminator="kind"),
]


# --- search ---------------------------------------------------------------------------------


class _Sampler(Section):
    begin_with: tuple[Mapping[str, Any], ...] = ()
    """Points of the space to begin with, each as values by dimension; what one leaves out takes
    your best guess (``priors``), or a value in the middle."""
    known_points: bool = True
    """Whether published networks (MobileNetV3, EfficientNet-B0 and such) are begun first where the
    space holds them, at the resolution of the images: a quarter of the first trials at most."""


class Prior(Section):
    """What you suppose to be a good value."""

    best_guess: bool | int | float | str
    """The value you would try first."""
    confidence: Literal["low", "medium", "high"] = "medium"
    """How sure you are: about the best guess, numbers spread by a half, a quarter or an eighth of
    their range; a choice without an order is 2, 4 or 8 times as likely as any other."""


def _as_prior(value: Any) -> Any:
    return value if isinstance(value, Mapping | Prior) else {"best_guess": value}


class AutoSampler(_Sampler):
    """Energy first: trains what is expected to add most to the front per joule still to be spent.

    Costs are known before training, or learnt from others; only scores have to be paid for.
    """

    kind: Literal["auto"] = "auto"
    n_startup_trials: Annotated[int, Field(ge=2)] | None = None
    """Trials begun before the model is used, spread over what is known of the space; None: 16, or
    two in five of ``budget.trials``, or, where first looks are long, as many as take two and a half
    full trainings (6 at least), whichever is fewest."""
    warm_start: Path | None = None
    """Folder of an earlier run of the same or a similar space: its trials are learnt from, and its
    front is run first. Its costs count only where they were measured on this machine."""
    priors: Mapping[str, Annotated[Prior, BeforeValidator(_as_prior)]] = {}
    """What you suppose about good values, by dimension ("learning_rate") or pattern of names
    ("stage*.kernel"): a best guess, or `{best_guess: 0.003, confidence: high}` (low, medium or
    high; medium unless said). Values near it are tried more often at first; what is seen outweighs
    it."""
    zero_cost: Literal["none", "synflow"] = "none"
    """A score of the untrained network, worked out at the probe and given to the model of accuracy
    (column ``synflow``); what a first look at the training shows usually tells more."""
    pause: bool = True
    """Whether trainings are halted at a checkpoint for what promises more, and gone on with when
    their turn has come. Without, every trial runs to its end unless the pruner stops it."""


class TpeSampler(_Sampler):
    """Tree-structured Parzen estimator (Optuna's default)."""

    kind: Literal["tpe"]
    n_startup_trials: Annotated[int, Field(ge=1)] = 10
    """Random trials before the model is used."""


class Nsga2Sampler(_Sampler):
    """NSGA-II, an evolutionary algorithm."""

    kind: Literal["nsga2"]
    population_size: Annotated[int, Field(ge=2)] = 12
    """Trials per generation; the first generation is random."""


class GpSampler(_Sampler):
    """Gaussian process; slow to choose beyond a few hundred trials."""

    kind: Literal["gp"]
    n_startup_trials: Annotated[int, Field(ge=1)] = 10
    """Random trials before the model is used."""


class RandomSampler(_Sampler):
    """Independent random choice: the baseline."""

    kind: Literal["random"]
    known_points: bool = False
    """Whether published networks are begun first, as with the other kinds."""


SamplerConfig = Annotated[
    AutoSampler | TpeSampler | Nsga2Sampler | GpSampler | RandomSampler,
    Field(discriminator="kind"),
    _kind_or("auto"),
]


class AutoPruner(Section):
    """Stops a trial once its chance to join the front is too small, as its curve forecasts it.

    Some of those that would be stopped run on, and show how many stops are wrong.
    """

    kind: Literal["auto"] = "auto"
    alpha: Fraction = 0.05
    """Share of the stopped trials that may be wrong: would have joined the front."""
    control_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the trials that would be stopped that run on to their end, chosen by chance; of the
    first few, more. With 0 the error rate is stated and never measured."""
    shadow: bool = False
    """Only note what would have been stopped; run every trial to its end."""


class DominancePruner(Section):
    """Stops a trial once a cheaper finished model has a score it cannot plausibly reach."""

    kind: Literal["dominance"]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of a trial's epochs during which it is never stopped."""
    min_curves: Annotated[int, Field(ge=1)] = 4
    """Finished learning curves needed before anything is stopped."""
    margin: Annotated[float, Field(ge=0, le=1)] = 0.002
    """How far the optimistic forecast may stay below the rival's score without a stop."""
    shadow: bool = False
    """Only note what would have been stopped; run every trial to its end."""


class _Halving(Section):
    reduction: Annotated[int, Field(ge=2), BeforeValidator(_integer_from_float)] = 3
    """Of so many trials at a rung one goes on, to a rung so many times as long."""
    min_share: Fraction = 0.1
    """Share of a trial's epochs that the first rung has at least; at most 1 / ``reduction``. Rungs
    are 1, 1 / ``reduction``, 1 / ``reduction``² ... of the epochs, at least one epoch."""
    ranking: Literal["eps-net", "non-dominated"] = "eps-net"
    """Who comes first of trials that do not beat each other: eps-net, always the one farthest from
    those before it; non-dominated, those with the widest gaps around them."""

    @model_validator(mode="after")
    def _check_rungs(self) -> Self:
        if self.reduction * self.min_share > 1:
            raise ValueError(
                f"with reduction {self.reduction}, min_share must be at most "
                f"{1 / self.reduction:.4g}: otherwise there is no rung before the end"
            )
        return self


class HalvingPruner(_Halving):
    """Successive halving: trials wait at rungs, at checkpoints; the best of each rung go on.

    A model is complete only after ``reduction`` trials per rung below the end, multiplied: 9 with
    the defaults. A search of fewer trials ends with none.
    """

    kind: Literal["halving"]


class HyperbandPruner(_Halving):
    """Successive halving in brackets with different first rungs, one of which halts nothing."""

    kind: Literal["hyperband"]


class MedianPruner(Section):
    """Stops a trial whose best scores are below the median of finished ones that cost no more."""

    kind: Literal["median"]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of a trial's epochs during which it is never stopped."""
    min_curves: Annotated[int, Field(ge=1)] = 4
    """Finished trials that cost no more, needed before one is stopped."""
    shadow: bool = False
    """Only note what would have been stopped; run every trial to its end."""


class PatiencePruner(Section):
    """Stops a trial on a plateau once a finished model that costs no more is above it."""

    kind: Literal["patience"]
    epochs: PositiveInt = 3
    """Epochs without a better score after which a trial is on a plateau; compare
    ``training.patience``, which ends a trial as complete."""
    min_delta: Annotated[float, Field(ge=0, le=1)] = 0.001
    """What a score must get better by to count, and what the finished model must be above by."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of a trial's epochs during which it is never stopped."""
    shadow: bool = False
    """Only note what would have been stopped; run every trial to its end."""


class NoPruner(Section):
    """Stops nothing."""

    kind: Literal["none"]


PrunerConfig = Annotated[
    AutoPruner
    | DominancePruner
    | HalvingPruner
    | HyperbandPruner
    | MedianPruner
    | PatiencePruner
    | NoPruner,
    Field(discriminator="kind"),
    _kind_or("auto"),
]


class TrainingConfig(Section):
    """How every trial is trained, beside what the space searches."""

    epochs: PositiveInt | None = None
    """Epochs of every trial; None: the space's ``epochs``, or 5 when it has none."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of training; auto: bf16 on a GPU that has it, else fp32."""
    gradient_clip: Annotated[float, Field(gt=0)] | None = 5.0
    """Largest norm of the gradient; None: no clipping."""
    patience: Annotated[int, Field(ge=1)] | None = 8
    """Epochs without a better validation accuracy after which a trial ends; None: never."""
    class_weights: Literal["auto", "balanced", "none"] = "auto"
    """Weights of the loss by class; auto: balanced when the largest class has over 1.5 times the
    images of the smallest."""


class Budget(Section):
    """When the search ends: whichever limit is reached first."""

    trials: PositiveInt | None = None
    """Trials, reused ones not counted; 20 when no limit is given at all."""
    hours: Annotated[float, Field(gt=0)] | None = None
    """Hours of search, over all sessions of a resumed run; preparing the data, the look ahead and
    scoring the final front on the test images come on top."""
    energy_wh: Annotated[float, Field(gt=0)] | None = None
    """Watt-hours, everything counted."""
    carbon_g: Annotated[float, Field(gt=0)] | None = None
    """Grams of CO2e, everything counted; needs ``carbon.intensity_gco2e_per_kwh``."""

    @model_validator(mode="before")
    @classmethod
    def _default_trials(cls, value: Any) -> Any:
        if isinstance(value, dict) and not any(given is not None for given in value.values()):
            return {**value, "trials": 20}
        return value


class VariantsConfig(Section):
    """What else is made of a trained network: its forms in the space's compression and runtime."""

    per_training: Annotated[int, Field(ge=0)] = 8
    """Forms of one trained network that are tried at most, beside the one it was trained for; 0:
    none. They do not count as ``budget.trials``, and none is tried that is unlikely to pay."""


class LocalExecutor(Section):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = None
    """Worker processes, one thread each on a CPU; None: the cores, or 1 on a GPU."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory a worker may use; None: its share of 90 % of the machine's. Not limited on a GPU."""
    trial_time_limit_s: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds after which a trial is ended and recorded as failed."""


ExecutorConfig = Annotated[LocalExecutor, _kind_or("local")]


# --- measuring ------------------------------------------------------------------------------


class AutoMeter(Section):
    """The best source this machine has: NVML; RAPL, perf, else CPU seconds × watts."""

    kind: Literal["auto"] = "auto"


class NvmlMeterConfig(Section):
    """The energy counter of an NVIDIA GPU."""

    kind: Literal["nvml"]


class RaplMeterConfig(Section):
    """The energy counters of the processor (Linux powercap)."""

    kind: Literal["rapl"]


class PerfMeterConfig(Section):
    """The same counters through the kernel's performance events (``power/energy-pkg/``)."""

    kind: Literal["perf"]


class CpuTimeMeterConfig(Section):
    """CPU seconds of the process tree × a stated wattage: an estimate."""

    kind: Literal["cpu_time"]
    active_w: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Watts of one busy thread above idle; None: the built-in figure (see ``ecoautoml doctor``)."""


class ReplayMeterConfig(Section):
    """A recorded trace; for tests and demonstrations."""

    kind: Literal["replay"]
    path: Path
    """CSV with the columns ``time_s`` and ``energy_j`` (a cumulative counter)."""
    by: Literal["look", "time"] = "look"
    """``look``: every look takes the next row, whatever the machine does. ``time``: it plays as
    time goes by and stands for the machine's counter, shared out by CPU time."""


class PluginMeterConfig(Section):
    """A meter another package adds (entry-point group ``ecoautoml.meters``)."""

    kind: Literal["plugin"]
    name: str
    """Its name, as ``ecoautoml doctor`` lists it."""
    options: Mapping[str, Any] = {}
    """What it is made with, by name."""


MeterConfig = Annotated[
    AutoMeter
    | NvmlMeterConfig
    | RaplMeterConfig
    | PerfMeterConfig
    | CpuTimeMeterConfig
    | ReplayMeterConfig
    | PluginMeterConfig,
    Field(discriminator="kind"),
    _kind_or("auto"),
]


class MeasureConfig(Section):
    """How inference is measured."""

    target: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Device on which models will run and are measured: auto, cpu, cuda or cuda:N."""
    batch_size: PositiveInt = 1
    """Images per call; ``inference_energy_j`` is per image at this batch size."""
    other_batch_sizes: tuple[PositiveInt, ...] = ()
    """Further numbers of images per call at which trained models are exported and measured
    (``model_b32.onnx``, columns ``inference_energy_b32_j`` and so on)."""
    precision: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Relative half-width of the 95 % interval at which measuring stops (0.05 = 5 %)."""
    final_precision: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """The same for the ratios of the front's models, measured in turn at the end."""
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    """Seconds after which measuring one model stops in any case; None: 30 times the meter's
    shortest window, which is 3 s for CPU time, 15 s for RAPL and, with a counter that moves every
    0.1 s, 150 s for NVML."""
    meter: MeterConfig = AutoMeter()
    """Where joules come from."""
    codecarbon: bool = False
    """Whether CodeCarbon tracks every training too, for a column beside ours
    (``training_energy_codecarbon_j``); needs ``pip install 'ecoautoml[tracking]'``."""

    @field_validator("other_batch_sizes", mode="after")
    @classmethod
    def _check_batch_sizes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a batch size is named twice")
        return value


class CarbonConfig(Section):
    """Where the electricity comes from."""

    zone: str | None = None
    """Name of the grid zone, for the record ("DE", "US-CAL-CISO")."""
    intensity_gco2e_per_kwh: Annotated[float, Field(ge=0)] | None = None
    """Grams of CO2e per kilowatt-hour of that zone; None: grams are not reported."""
    pue: Annotated[float, Field(ge=1)] | None = None
    """Power usage effectiveness of the building; None: not applied."""


class SearchConfig(Section):
    """A whole search. Every key but ``data`` and ``space`` has a default."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True
    )
    DEFAULT_OBJECTIVES: ClassVar[tuple[str, ...]] = ("validation_accuracy", "inference_energy_j")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)] = "search"
    """Name of the run; its folder is ``output/name``."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of everything random in the search."""
    output: Path = Path("runs")
    """Folder in which run folders are made."""
    data: Annotated[DataConfig, BeforeValidator(_kind_from_string)]
    """The images: a kind, or a mapping with ``kind`` or ``path``."""
    space: str | dict[str, Any]
    """The search space: a shipped name, a YAML file, or (in Python) a mapping."""
    objectives: tuple[str, ...] = DEFAULT_OBJECTIVES
    """What to be good at, by column name; at least one validation score."""
    constraints: tuple[str, ...] = ()
    """Hard limits, by column name and in its unit: "latency_ms <= 5"."""
    prefer: Prefer = NOTHING
    """What you can use of what may be found: a target, a worst value of use, weights."""
    training: TrainingConfig = TrainingConfig()
    """How every trial is trained."""
    sampler: SamplerConfig = AutoSampler()
    """What to try next."""
    pruner: PrunerConfig = AutoPruner()
    """What to stop early."""
    variants: VariantsConfig = VariantsConfig()
    """What else is made of a trained network."""
    budget: Budget = Budget(trials=20)
    """When the search ends."""
    executor: ExecutorConfig = LocalExecutor()
    """Where trials run."""
    measure: MeasureConfig = MeasureConfig()
    """How inference is measured."""
    carbon: CarbonConfig = CarbonConfig()
    """Where the electricity comes from."""
    storage: str | None = None
    """Optuna storage URL of the ledger; None: SQLite in the run folder."""
    keep_models: Literal["front", "all"] = "front"
    """Which trained models stay on disk: those on the front, or every finished one."""

    @field_validator("data", mode="before")
    @classmethod
    def _infer_data_kind(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and "kind" not in value:
            return {"kind": "auto" if "path" in value else "digits", **value}
        return value

    @field_validator("space", mode="before")
    @classmethod
    def _check_space(cls, value: Any) -> Any:
        if not isinstance(value, str | Mapping):
            raise ValueError(f"{value!r} is neither a name, nor a YAML file, nor a mapping")
        return value

    @field_validator("objectives", mode="after")
    @classmethod
    def _check_objectives(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in METRICS:
                raise ValueError(f"no metric is called {name!r}{suggest(name, METRICS)}")
        if len(set(value)) != len(value):
            raise ValueError("an objective is named twice")
        if not any(METRICS[name].is_score for name in value):
            raise ValueError(
                "at least one objective must be a validation score, such as validation_accuracy"
            )
        return value

    @field_validator("constraints", mode="after")
    @classmethod
    def _check_constraints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            Constraint.parse(text)
        return value

    @model_validator(mode="after")
    def _check_combinations(self) -> SearchConfig:
        if self.budget.carbon_g is not None and self.carbon.intensity_gco2e_per_kwh is None:
            raise ValueError(
                "budget.carbon_g needs carbon.intensity_gco2e_per_kwh (grams of CO2e per kWh of "
                "your grid); set it, or use budget.energy_wh"
            )
        if self.measure.meter.kind == "nvml" and self.measure.target == "cpu":
            raise ValueError("measure.meter nvml reads a GPU, but measure.target is cpu")
        self.prefer.check(self.objectives, self.parsed_constraints)
        return self

    @property
    def run_folder(self) -> Path:
        """Return the folder of this run."""
        return self.output / self.name

    @property
    def parsed_constraints(self) -> tuple[Constraint, ...]:
        """Return the constraints as values."""
        return tuple(Constraint.parse(text) for text in self.constraints)

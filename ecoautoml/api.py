"""The front door: a configuration in, a result out. Names become objects here, once."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecoautoml.config.load import load_config
from ecoautoml.config.models import SearchConfig
from ecoautoml.data.prepare import prepare_data
from ecoautoml.data.prepared import PreparedData
from ecoautoml.energy.codecarbon_check import require_codecarbon
from ecoautoml.energy.select import MeterSet, open_meters
from ecoautoml.energy.target import resolve_target
from ecoautoml.errors import ConfigError, RunError, SpaceError
from ecoautoml.executors.local import LocalExecutor
from ecoautoml.executors.messages import WorkerSetup
from ecoautoml.result import SearchResult
from ecoautoml.runtimes import can_write
from ecoautoml.spaces.dimensions import SearchSpace, with_choices
from ecoautoml.spaces.load import load_space
from ecoautoml.spaces.variants import has_variants
from ecoautoml.strategies.base import Earlier, Planner
from ecoautoml.strategies.planners import check_wishes, make_planner
from ecoautoml.strategies.pruners import make_pruner
from ecoautoml.strategies.variants import Variants
from ecoautoml.study.budget import Spent
from ecoautoml.study.environment import environment, memory_bytes, usable_cores
from ecoautoml.study.errands import Errands
from ecoautoml.study.forecast import Forecast
from ecoautoml.study.keep import discard_models, discard_paused
from ecoautoml.study.ledger import Ledger
from ecoautoml.study.loop import Observer, SearchLoop, Snapshot
from ecoautoml.study.metering import Metering
from ecoautoml.study.run_folder import MadeOf, RunFolder
from ecoautoml.study.session import Session
from ecoautoml.study.storage import without_password
from ecoautoml.study.warm_start import earlier_run
from ecoautoml.trial.settings import epochs_for
from ecoautoml.units import BYTES_PER_GB

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told what, while a search runs; all read-only.

    Attributes:
        on_data: Called once with the prepared images.
        on_forecast: Called once before the first trial of a new run.
        on_snapshot: Called after every event and report, and every 2 s.
        on_interrupt: Called at the first Ctrl-C.
    """

    on_data: Callable[[PreparedData], None] = lambda prepared: None
    on_forecast: Callable[[Forecast], None] = lambda forecast: None
    on_snapshot: Observer = lambda snapshot: None
    on_interrupt: Callable[[], None] = lambda: None


def search(
    config: str | Path | Mapping[str, Any] | SearchConfig,
    *,
    overrides: Iterable[str] = (),
    resume: bool = False,
    build_model: Callable[[dict[str, Any], int, int], nn.Module] | None = None,
    listeners: Listeners | None = None,
) -> SearchResult:
    """Run a search to the end of its budget and return its result.

    Args:
        config: A YAML file, a mapping, or a `SearchConfig`.
        overrides: "key.path=value" strings on top of it.
        resume: Go on with a run that was interrupted or killed.
        build_model: Your own function ``(values, in_chans, num_classes) -> torch.nn.Module``;
            must be importable, because workers import it. The space names its ``values``.
        listeners: Who is told what happens meanwhile.

    Raises:
        ConfigError: Something asked for is not possible.
        RunError: The run folder is in use, or holds another run.
        MissingExtraError: Something asked for needs a package that is not installed.
    """
    config = load_config(config, overrides)
    listeners = listeners or Listeners()
    space = _space(config, build_model)
    check_wishes(config, space)
    target = resolve_target(config.measure.target)
    opener = partial(open_meters, config.measure.meter, target)
    if config.measure.codecarbon:
        require_codecarbon()
    with (
        RunFolder(config.run_folder).take(config, resume=resume) as run,
        Metering(lambda scope: opener(scope=scope)) as metering,
    ):
        _check_budget(config, metering)
        with metering.phase("preparing data"):
            prepared = prepare_data(config.data, run.data)
        listeners.on_data(prepared)
        ledger = _ledger(config, run, resume=resume)
        setup = _setup(config, space, prepared, target, run, metering.idle_w)
        with _interrupts(listeners) as should_interrupt, _executor(setup, opener) as executor:
            executor.start()
            session = Session(ledger, metering, executor.overhead)
            about = environment(target, metering.explain, config.seed)
            earlier = _earlier(config, about["hardware"])
            run.begin(config, MadeOf(space=space, environment=about))
            session.begin(prepared)
            errands = Errands(
                config=config,
                ledger=ledger,
                session=session,
                executor=executor,
                should_interrupt=should_interrupt,
            )
            if not ledger.results():
                listeners.on_forecast(errands.look_ahead(space, _workers(config, target)))
            planner = make_planner(
                config,
                space,
                image_size=prepared.image_size,
                in_chans=prepared.channels,
                n_classes=len(prepared.class_names),
                earlier=earlier,
            )
            loop = _loop(config, space, ledger, session, run, listeners, should_interrupt, planner)
            executor.run(loop)
            loop.close()
            results = errands.settle_front()
            needed = loop.needed() if should_interrupt() else set()
            discard_models(run.models, results, config, ledger.lost(), needed)
            errands.score_front(results)
            executor.close()
            session.end()
            is_interrupted = should_interrupt()
        result = SearchResult.from_ledger(run.path, config, ledger, is_interrupted=is_interrupted)
        result.write()
    return result


def _earlier(config: SearchConfig, hardware: dict[str, str]) -> Earlier | None:
    """Return the earlier run to learn from, None when none is named."""
    folder = config.sampler.warm_start if config.sampler.kind == "auto" else None
    return None if folder is None else earlier_run(folder, hardware)


def _check_budget(config: SearchConfig, metering: Metering) -> None:
    """Refuse a budget in joules that nobody could watch.

    Raises:
        ConfigError: The budget has such a limit, and the joules are unknown.
    """
    limits = [name for name in ("energy_wh", "carbon_g") if getattr(config.budget, name)]
    why = metering.why_unknown() if limits else None
    if why is not None:
        raise ConfigError(
            f"budget.{limits[0]} can never be reached, because joules are unknown here: {why}; "
            "limit budget.trials or budget.hours instead, or choose another measure.meter "
            "(ecoautoml doctor lists those of this machine)"
        )


def _space(
    config: SearchConfig, build_model: Callable[[dict[str, Any], int, int], nn.Module] | None
) -> SearchSpace:
    """Return the space as it is searched: with the configuration's epochs, where it has any."""
    space, epochs = _space_of(config, build_model), config.training.epochs
    if epochs is None or all(one.name != "epochs" for one in space.parameters):
        return space
    return with_choices(space, "epochs", [epochs])


def _space_of(
    config: SearchConfig, build_model: Callable[[dict[str, Any], int, int], nn.Module] | None
) -> SearchSpace:
    if build_model is None:
        return _expanded(load_space(config.space))
    if not isinstance(config.space, Mapping):
        raise SpaceError("with build_model=, give the space as a mapping with its dimensions")
    module, name = build_model.__module__, build_model.__qualname__
    if module == "__main__" or not name.isidentifier() or inspect.getmodule(build_model) is None:
        raise SpaceError(
            f"build_model={name} cannot be imported by the workers; put the function into a "
            "module of its own (my_model.py) and import it from there"
        )
    architecture = {**config.space.get("architecture", {})}
    architecture.update(builder="python", function=f"{module}:{name}")
    return load_space({**config.space, "architecture": architecture})


def _ledger(config: SearchConfig, run: RunFolder, *, resume: bool) -> Ledger:
    ledger = Ledger(run.storage(config), config.name, config.objectives, config.constraints)
    if ledger.has_trials and not resume:
        raise RunError(
            f"{without_password(run.storage(config))} already holds a study called {config.name}; "
            "add --resume to go on with it, or --set name=OTHER to begin another"
        )
    return ledger


def _expanded(space: SearchSpace) -> SearchSpace:
    """Return the space with patterns of timm names replaced by the names they stand for."""
    if space.builder != "timm":
        return space
    from ecoautoml.models.zoo import expand_timm_names  # imports torch; other spaces need not wait

    patterns = space.dimension("model").choices
    return with_choices(space, "model", expand_timm_names(map(str, patterns)))


def _setup(
    config: SearchConfig,
    space: SearchSpace,
    prepared: PreparedData,
    target: str,
    run: RunFolder,
    idle_w: Mapping[str, float],
) -> WorkerSetup:
    runtime = space.dimension("runtime")
    return WorkerSetup(
        config=config,
        prepared=prepared,
        target=target,
        runtimes=tuple(str(name) for name in runtime.choices),
        models_folder=run.models,
        paused_folder=run.paused,
        memory_bytes=_memory_limit(config, target),
        idle_w=idle_w,
    )


def _executor(setup: WorkerSetup, opener: Callable[..., MeterSet]) -> LocalExecutor:
    return LocalExecutor(
        setup,
        workers=_workers(setup.config, setup.target),
        time_limit_s=setup.config.executor.trial_time_limit_s,
        open_meters=partial(opener, idle_w=setup.idle_w),
    )


def _workers(config: SearchConfig, target: str) -> int:
    return config.executor.workers or (usable_cores() if target == "cpu" else 1)


def _memory_limit(config: SearchConfig, target: str) -> int | None:
    if target != "cpu":
        return None  # a GPU's driver maps far more than it uses
    if config.executor.memory_gb is not None:
        return round(config.executor.memory_gb * BYTES_PER_GB)
    return round(memory_bytes() * 0.9 / _workers(config, target))


def _loop(
    config: SearchConfig,
    space: SearchSpace,
    ledger: Ledger,
    session: Session,
    run: RunFolder,
    listeners: Listeners,
    should_interrupt: Callable[[], bool],
    planner: Planner | None,
) -> SearchLoop:
    lost = ledger.lost()

    def observe(snapshot: Snapshot) -> None:
        if snapshot.event is not None:
            discard_models(run.models, snapshot.results, config, lost, snapshot.needed)
            discard_paused(run.paused, snapshot.results, snapshot.paused)
        listeners.on_snapshot(snapshot)

    return SearchLoop(
        config=config,
        space=space,
        ledger=ledger,
        pruner=make_pruner(config.pruner, config.objectives, config.seed),
        planner=planner,
        is_kept=run.has_model,
        variants=_variants(config, space, run, resolve_target(config.measure.target)),
        epochs_for=lambda candidate: epochs_for(candidate, config.training),
        session=session,
        observer=observe,
        should_interrupt=should_interrupt,
        earlier=Spent(trials=0, elapsed_s=session.earlier_s, energy_j=None),
    )


def _variants(
    config: SearchConfig, space: SearchSpace, run: RunFolder, target: str
) -> Variants | None:
    """Return what proposes other forms of trained networks.

    Nothing does where joules of training are an objective: a form would beat its own parent by
    them, whose training it needs.
    """
    is_unfair = "training_energy_j" in config.objectives
    if is_unfair or not config.variants.per_training or not has_variants(space):
        return None
    return Variants(
        space=space,
        objectives=config.objectives,
        per_training=config.variants.per_training,
        seed=config.seed,
        is_possible=partial(can_write, target=target),
        is_kept=run.has_model,
    )


@contextmanager
def _interrupts(listeners: Listeners) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or SIGTERM) into a request; the second one stops at once."""
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        listeners.on_interrupt()

    try:
        before = {number: signal.signal(number, handle) for number in _SIGNALS}
    except ValueError:  # not the main thread: signals are somebody else's
        before = {}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)

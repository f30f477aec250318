"""The front door: a configuration in, a result out. Names become objects here, once."""

from __future__ import annotations

import inspect
import os
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
from ecoautoml.energy.select import MeterSet, open_meters
from ecoautoml.energy.target import open_driver_meter, resolve_target
from ecoautoml.energy.window import EnergyWindow
from ecoautoml.errors import RunError, SpaceError
from ecoautoml.executors.local import LocalExecutor
from ecoautoml.executors.messages import LookAheadAt, ScoreOnTest, WorkerSetup
from ecoautoml.records.energy_reading import EnergyLine
from ecoautoml.result import SearchResult
from ecoautoml.spaces.dimensions import SearchSpace, with_choices
from ecoautoml.spaces.load import load_space
from ecoautoml.spaces.random import random_candidate
from ecoautoml.strategies.pruners import make_pruner
from ecoautoml.strategies.samplers import derive_seed
from ecoautoml.study.budget import Spent
from ecoautoml.study.environment import environment, memory_bytes
from ecoautoml.study.forecast import Forecast, forecast
from ecoautoml.study.keep import discard_models, front_numbers
from ecoautoml.study.ledger import Ledger
from ecoautoml.study.loop import Observer, SearchLoop, Snapshot
from ecoautoml.study.run_folder import RunFolder
from ecoautoml.trial.settings import epochs_for

if TYPE_CHECKING:
    from torch import nn

LOOK_AHEAD_CANDIDATES = 2
MARKS_ARE_AT_MOST_APART_S = 2.5
"""What an unclean end can leave unexplained, per running trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who is told what, while a search runs; all read-only.

    Attributes:
        on_data: Called once with the prepared images.
        on_forecast: Called once before the first trial of a new run.
        on_snapshot: Called after every event and about twice a second.
    """

    on_data: Callable[[PreparedData], None] = lambda prepared: None
    on_forecast: Callable[[Forecast], None] = lambda forecast: None
    on_snapshot: Observer = lambda snapshot: None


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
    """
    config = load_config(config, overrides)
    listeners = listeners or Listeners()
    space = _space(config, build_model)
    target = resolve_target(config.measure.target)
    opener = partial(open_meters, config.measure.meter, target)
    meters = opener()
    about = environment(target, meters.explain, config.seed)
    with RunFolder(config.run_folder).take(config, resume=resume) as run:
        with EnergyWindow(meters.meters, meters.clock) as preparing:
            prepared = prepare_data(config.data, run.data)
        ledger = _ledger(config, run, resume=resume)
        run.begin(config, about)
        listeners.on_data(prepared)
        setup = WorkerSetup(
            config=config,
            prepared=prepared,
            target=target,
            models_folder=run.models,
            memory_bytes=_memory_limit(config, target),
        )
        bill = SessionBill(ledger, preparing.line("preparing data"), config)
        with _executor(setup, opener) as executor:
            bill.executor = executor
            is_interrupted = _run(config, space, ledger, executor, bill, run, listeners)
            _score_front(config, ledger, executor, bill)
        bill.close()
        result = SearchResult.from_ledger(run.path, config, ledger, is_interrupted=is_interrupted)
        result.write()
    meters.close()
    return result


class SessionBill:
    """Joules of a session that belong to no trial: earlier sessions', and this one's so far."""

    def __init__(self, ledger: Ledger, preparing: EnergyLine, config: SearchConfig) -> None:
        self._ledger = ledger
        self._earlier = ledger.lines("overhead")
        self._lines = [preparing]
        self._meters = open_driver_meter(config.measure.meter)
        self._driver = EnergyWindow(self._meters.meters, self._meters.clock)
        self._driver.__enter__()  # stays open: it is read while the search runs
        self.executor: LocalExecutor | None = None

    def add(self, line: EnergyLine) -> None:
        """Add a line."""
        self._lines.append(line)

    def lines(self) -> tuple[EnergyLine, ...]:
        """Return all lines."""
        workers = () if self.executor is None else self.executor.overhead()
        return (*self._earlier, *self._lines, *workers, self._driver.line("choosing and recording"))

    def close(self) -> None:
        """Write the lines into the ledger."""
        self._ledger.set_lines("overhead", self.lines())
        self._meters.close()


def _space(
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
    ledger = Ledger(run.storage(config), config.name, config.objectives)
    if ledger.has_trials and not resume:
        raise RunError(
            f"{config.storage} already holds a study called {config.name}; add --resume to go on "
            "with it, or --set name=OTHER to begin another"
        )
    return ledger


def _expanded(space: SearchSpace) -> SearchSpace:
    """Return the space with patterns of timm names replaced by the names they stand for."""
    if space.builder != "timm":
        return space
    from ecoautoml.models.zoo import expand_timm_names  # imports torch; other spaces need not wait

    patterns = space.dimension("model").choices
    return with_choices(space, "model", expand_timm_names(map(str, patterns)))


def _executor(setup: WorkerSetup, opener: Callable[[], MeterSet]) -> LocalExecutor:
    asked = setup.config.executor
    return LocalExecutor(
        setup,
        workers=asked.workers or _default_workers(setup.target),
        time_limit_s=asked.trial_time_limit_s,
        open_meters=opener,
    )


def _default_workers(target: str) -> int:
    return len(os.sched_getaffinity(0)) if target == "cpu" else 1


def _memory_limit(config: SearchConfig, target: str) -> int | None:
    if config.executor.memory_gb is not None:
        return round(config.executor.memory_gb * 1e9)
    if target != "cpu":
        return None  # a GPU's driver maps far more than it uses
    workers = config.executor.workers or _default_workers(target)
    return round(memory_bytes() * 0.9 / workers)


def _run(
    config: SearchConfig,
    space: SearchSpace,
    ledger: Ledger,
    executor: LocalExecutor,
    bill: SessionBill,
    run: RunFolder,
    listeners: Listeners,
) -> bool:
    """Run trials; return whether the user ended it."""
    _note_unclean_end(ledger)
    ledger.set_attribute("is_open", True)
    with _interrupts() as should_interrupt:
        if not ledger.results():
            _look_ahead(config, space, executor, bill, listeners)

        def observe(snapshot: Snapshot) -> None:
            if snapshot.event is not None:
                discard_models(run.models, snapshot.results, config.objectives, config.keep_models)
            listeners.on_snapshot(snapshot)

        loop = SearchLoop(
            config=config,
            space=space,
            ledger=ledger,
            pruner=make_pruner(config.pruner, config.objectives),
            epochs_for=lambda proposal: epochs_for(proposal.candidate, config.training),
            overhead=bill.lines,
            observer=observe,
            should_interrupt=should_interrupt,
            earlier=Spent(
                trials=0, elapsed_s=float(ledger.attribute("elapsed_s") or 0.0), energy_j=None
            ),
        )
        executor.run(loop)
        loop.close()
        ledger.set_attribute("is_open", False)
        return should_interrupt()


def _note_unclean_end(ledger: Ledger) -> None:
    """Write down what a killed session may have left off the bill."""
    if ledger.attribute("is_open"):
        before_s = float(ledger.attribute("unexplained_s") or 0.0)
        ledger.set_attribute("unexplained_s", before_s + MARKS_ARE_AT_MOST_APART_S)


def _look_ahead(
    config: SearchConfig,
    space: SearchSpace,
    executor: LocalExecutor,
    bill: SessionBill,
    listeners: Listeners,
) -> None:
    """Try a few random candidates, and tell what the search will take."""
    seeds = [derive_seed(config.seed, "look ahead", i) for i in range(LOOK_AHEAD_CANDIDATES)]
    candidates = tuple(random_candidate(space, seed) for seed in seeds)
    seen = executor.call(LookAheadAt(candidates=candidates))
    bill.add(seen.energy)
    workers = config.executor.workers or _default_workers("cpu")
    listeners.on_forecast(forecast(config.budget, seen.trial_s, seen.trial_energy_j, workers))


def _score_front(
    config: SearchConfig, ledger: Ledger, executor: LocalExecutor, bill: SessionBill
) -> None:
    """Score the models of the front on the test split, those not scored before."""
    known: dict[str, float] = ledger.attribute("test_scores") or {}
    numbers = front_numbers(ledger.results(), config.objectives)
    candidates = {
        result.number: result.candidate
        for result in ledger.results()
        if result.number in numbers and str(result.number) not in known
    }
    if candidates:
        answer = executor.call(ScoreOnTest(candidates=candidates))
        bill.add(answer.energy)
        fresh = {str(number): score for number, score in answer.accuracy.items()}
        ledger.set_attribute("test_scores", {**known, **fresh})


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C (or SIGTERM) into a request; the second one stops at once."""
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

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

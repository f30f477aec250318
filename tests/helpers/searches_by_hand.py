"""Searches driven by hand: a small conditional space, and results that need no training."""

from dataclasses import replace

from pydantic import TypeAdapter

from ecoautoml.config import load_config
from ecoautoml.config.models import CpuTimeMeterConfig, SamplerConfig
from ecoautoml.energy.select import open_meters
from ecoautoml.records.energy_reading import EnergyLine, Provenance
from ecoautoml.records.progress import EnergyMark, Progress
from ecoautoml.records.trial_result import TrialResult, TrialState
from ecoautoml.spaces.load import load_space
from ecoautoml.strategies.pruners import NoPruner
from ecoautoml.study.budget import Spent
from ecoautoml.study.ledger import Ledger
from ecoautoml.study.loop import SearchLoop
from ecoautoml.study.metering import Metering
from ecoautoml.study.session import Session

TWO = ("validation_accuracy", "inference_energy_j")
THREE = ("validation_accuracy", "inference_energy_j", "params")
LIMITS = ("params <= 20", "validation_accuracy >= 0.8")

_SAMPLERS = TypeAdapter(SamplerConfig)
_QUICK = {
    "tpe": {"n_startup_trials": 4},
    "gp": {"n_startup_trials": 5},
    "nsga2": {"population_size": 3},
}


def sampler(kind):
    """Return a sampler's configuration with a short random beginning."""
    return _SAMPLERS.validate_python({"kind": kind, **_QUICK.get(kind, {})})


def conditional_space():
    """Return a space with every kind of dimension, one of them conditional."""
    return load_space(
        {
            "architecture": {
                "builder": "python",
                "function": "nowhere:build",
                "width": {"low": 4, "high": 32, "step": 4},
                "kernel": [3, 5, 7],
            },
            "hyperparameters": {
                "optimizer": ["sgd", "adamw"],
                "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
                "momentum": {"low": 0.5, "high": 0.95, "when": {"optimizer": ["sgd"]}},
                "epochs": 3,
            },
        }
    )


def open_ledger(folder, objectives=TWO, name="ledger.db", constraints=LIMITS):
    return Ledger(f"sqlite:///{folder / name}", "test", objectives, constraints)


def outcome(proposal, *, is_limited=False):
    """Return what a made-up training of a candidate gives: wide is good, and dear.

    With limits, a candidate too large is not trained, as in a real search.
    """
    values = proposal.candidate.parameters()
    width, kernel = values["width"], values["kernel"]
    accuracy = 0.9 - 1 / width + 0.01 * kernel - 0.1 * abs(values["learning_rate"] - 0.01)
    params = width + kernel * kernel
    costs = {"inference_energy_j": 1e-6 * params, "params": float(params)}
    scores = {"validation_accuracy": accuracy}
    excess = {LIMITS[0]: params / 20 - 1}
    result = TrialResult(
        number=proposal.number,
        state=TrialState.COMPLETE,
        candidate=proposal.candidate,
        metrics={**costs, **scores},
    )
    if not is_limited:
        return result
    if params > 20:
        return replace(result, state=TrialState.INFEASIBLE, metrics=costs, constraints=excess)
    return replace(result, constraints={**excess, LIMITS[1]: 1 - accuracy / 0.8})


def run_trials(ledger, count, kind, *, seed=0, is_limited=False):
    """Run whole trials one after the other and return their candidates."""
    space, config, candidates = conditional_space(), sampler(kind), []
    for _ in range(count):
        proposal = ledger.propose(space, config, seed)
        ledger.record(outcome(proposal, is_limited=is_limited))
        candidates.append(proposal.candidate)
    return candidates


def mark(number, energy_j, *, duration_s=1.0):
    return EnergyMark(
        trial=number,
        energy_j=energy_j,
        provenance=None if energy_j is None else "estimated",
        duration_s=duration_s,
        source="cpu_time",
    )


def line(name, energy_j, *, duration_s=1.0, provenance=Provenance.ESTIMATED):
    return EnergyLine(
        line=name,
        energy_j=energy_j,
        duration_s=duration_s,
        provenance=provenance,
        source="cpu_time",
    )


class BreaksOff(tuple):
    """Parameters of a space; the process "dies" after as many of them as ``count`` says."""

    count = 0

    def __iter__(self):
        for index, parameter in enumerate(tuple.__iter__(self)):
            if index == self.count:
                raise KeyboardInterrupt
            yield parameter


def cpu_time_metering():
    """Return a metering that needs no counter and no waiting."""
    meter = CpuTimeMeterConfig(kind="cpu_time")
    return Metering(lambda scope: open_meters(meter, "cpu", scope=scope))


class KnownSession(Session):
    """A session whose overhead is known to the joule: real seconds would be another each time."""

    def __init__(self, ledger, *lines):
        super().__init__(ledger, cpu_time_metering(), lambda: lines)

    def overhead(self):
        return tuple(self._workers())


class SearchByHand:
    """A search driven by hand, its events, and whether Ctrl-C was pressed."""

    def __init__(
        self,
        folder,
        *,
        space=None,
        budget=None,
        pruner=None,
        planner=None,
        is_shadow=False,
        earlier_s=0.0,
        variants=None,
    ):
        self.folder = folder
        self.changes = {
            "space": space,
            "budget": budget,
            "pruner": pruner,
            "planner": planner,
            "variants": variants,
        }
        self.events: list[str] = []
        self.is_interrupted = False
        tree = {
            "data": "digits",
            "space": "tiny",
            "sampler": "random",
            "budget": budget or {"trials": 50},
            "pruner": {"kind": "dominance", "shadow": is_shadow},
        }
        self.ledger = open_ledger(folder)
        self.loop = SearchLoop(
            config=load_config(tree),
            space=space or conditional_space(),
            ledger=self.ledger,
            pruner=pruner or NoPruner(),
            planner=planner,
            epochs_for=lambda candidate: 3,
            session=KnownSession(self.ledger),
            observer=lambda snapshot: self.events.append(snapshot.event or ""),
            should_interrupt=lambda: self.is_interrupted,
            earlier=Spent(trials=0, elapsed_s=earlier_s, energy_j=None),
            variants=variants,
            is_kept=lambda number: True,
        )

    def reopened(self, **changes):
        """Return the same search in a new process, as it were."""
        return SearchByHand(self.folder, **{**self.changes, **changes})

    def tell(self, job, state=TrialState.COMPLETE, **changes):
        result = replace(outcome(job), number=job.number, state=state, **changes)
        self.loop.tell(result)


def report(job, epoch=1):
    """Return what a trial reports after that epoch; 0 is its probe."""
    scores = {"validation_accuracy": 0.5} if epoch else {}
    return Progress(trial=job.number, epoch=epoch, epochs=3, metrics=scores)

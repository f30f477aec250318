"""Searches whose trainings are made up, driven through a pruner as the loop drives it."""

import random
from dataclasses import dataclass, field, replace

from ecoautoml.records.candidate import Candidate
from ecoautoml.records.progress import Action, Progress
from ecoautoml.records.trial_result import STATE_AFTER, TrialResult, TrialState
from ecoautoml.strategies.base import History, Running

NOBODY = Candidate(space="s", builder="b", architecture={}, hyperparameters={})


def curve(
    scores, *, epochs=None, number=0, score="validation_accuracy", cost="inference_energy_j", at=1.0
):
    """Return a trial's reports: the probe, and one per score."""
    probe = Progress(trial=number, epoch=0, epochs=epochs or len(scores), metrics={cost: at})
    reports = (
        replace(probe, epoch=epoch, metrics={cost: at, score: value})
        for epoch, value in enumerate(scores, start=1)
    )
    return (probe, *reports)


def running(scores, *, number=0, epochs=9, **words):
    """Return a trial that has just reported the last of its scores."""
    reports = curve(scores, epochs=epochs, number=number, **words)
    return Running(number=number, candidate=NOBODY, epochs=epochs, curve=reports)


def ended(scores, state, *, number=0, epochs=9, **words):
    """Return a trial that has ended, or waits, after the last of its scores."""
    reports = curve(scores, epochs=epochs, number=number, **words)
    return TrialResult(
        number=number,
        state=state,
        candidate=NOBODY,
        metrics=reports[-1].metrics,
        curve=reports,
        epochs=reports[-1].epoch,
    )


def complete(scores, *, number=0, **words):
    """Return a trial that was trained to its end."""
    return ended(scores, TrialState.COMPLETE, number=number, epochs=len(scores), **words)


def paused(scores, *, number=0, **words):
    """Return a trial that waits."""
    return ended(scores, TrialState.PAUSED, number=number, **words)


def shuffled(history, seed=0):
    """Return the same history in another order."""
    chance = random.Random(seed)
    return replace(
        history,
        finished=chance.sample(history.finished, len(history.finished)),
        paused=chance.sample(history.paused, len(history.paused)),
        running=chance.sample(history.running, len(history.running)),
    )


@dataclass
class MadeUpSearch:
    """A search of a few workers; remembers everything its pruner was asked and what it said.

    Some trials fail, some are infeasible at their end, some end on a plateau, some costs are
    unknown, and trials differ in their epochs.
    """

    pruner: object
    seed: int
    trials: int = 30
    workers: int = 3
    all_epochs: tuple = (1, 4, 8, 9, 20)
    is_rough: bool = True
    finished: dict = field(default_factory=dict)
    paused: dict = field(default_factory=dict)
    running: dict = field(default_factory=dict)
    decided: list = field(default_factory=list)
    promoted: list = field(default_factory=list)

    def __post_init__(self):
        self.chance = random.Random(self.seed)
        self.made = []

    def run(self):
        """Run to the end of the budget and return this search."""
        while True:
            while len(self.running) < self.workers and self._fill():
                pass
            if not self.running:
                return self
            self._report(self.chance.choice(sorted(self.running)))

    def history(self):
        return History(
            finished=[self.finished[number] for number in sorted(self.finished)],
            paused=[self.paused[number] for number in sorted(self.paused)],
            running=[self.running[number] for number in sorted(self.running)],
        )

    @property
    def epochs_trained(self):
        """Return the epochs of all trials together."""
        return sum(one.epochs for one in (*self.finished.values(), *self.paused.values()))

    def _fill(self):
        history = self.history()
        step = self.pruner.promote(history)
        self.promoted.append((history, step))
        if step is not None:
            before = self.paused.pop(step.number)  # a KeyError: it was not paused
            self.running[step.number] = Running(
                number=step.number,
                candidate=before.candidate,
                epochs=self.made[step.number]["epochs"],
                curve=before.curve,
            )
            return True
        if len(self.made) >= self.trials:
            return False
        self._begin()
        return True

    def _begin(self):
        number, chance = len(self.made), self.chance
        epochs, cost = chance.choice(self.all_epochs), 10 ** chance.uniform(-3, 0)
        known = {"inference_energy_j": cost, "latency_ms": cost * chance.uniform(1, 2)}
        if self.is_rough and chance.random() < 0.05:
            del known["inference_energy_j"]
        self.made.append(
            {
                "epochs": epochs,
                "costs": known,
                "best": chance.uniform(0.3, 0.6) + 0.1 * cost,
                "pace": chance.uniform(0.5, 3),
                "fate": chance.choice(["fails", "infeasible", "plateau", *["good"] * 9])
                if self.is_rough
                else "good",
            }
        )
        probe = Progress(trial=number, epoch=0, epochs=epochs, metrics=known)
        self._reported(Running(number=number, candidate=NOBODY, epochs=epochs), probe)

    def _report(self, number):
        one, made = self.running[number], self.made[number]
        epoch = one.epoch + 1
        if epoch > one.epochs:
            self._end(number, TrialState.COMPLETE)
        elif made["fate"] == "fails" and epoch > made["epochs"] / 2:
            self._end(number, TrialState.FAILED)
        elif made["fate"] == "plateau" and epoch > 0.7 * made["epochs"] + 1:
            self._end(number, TrialState.COMPLETE)
        else:
            score = made["best"] * (1 - 0.5 ** (made["pace"] * epoch / one.epochs * 5))
            score += self.chance.uniform(-0.02, 0.02)
            scores = {"validation_accuracy": score, "validation_macro_f1": 0.9 * score}
            metrics = {**made["costs"], **scores}
            self._reported(
                one, Progress(trial=number, epoch=epoch, epochs=one.epochs, metrics=metrics)
            )

    def _reported(self, one, progress):
        one = replace(one, curve=(*one.curve, progress))
        self.running[one.number] = one
        history = self.history()
        decision = self.pruner.decide(one, history)
        self.decided.append((one, history, decision))
        if decision.action is not Action.CONTINUE:
            self._end(one.number, STATE_AFTER[decision.action])

    def _end(self, number, state):
        one = self.running.pop(number)
        if state is TrialState.COMPLETE and self.made[number]["fate"] == "infeasible":
            state = TrialState.INFEASIBLE
        result = TrialResult(
            number=number,
            state=state,
            candidate=one.candidate,
            metrics=one.curve[-1].metrics,
            curve=one.curve,
            epochs=one.epoch,
        )
        (self.paused if state is TrialState.PAUSED else self.finished)[number] = result

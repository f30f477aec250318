"""Planned searches driven by hand, on made-up trainings."""

from dataclasses import replace

from searches_by_hand import line, outcome

from ecoautoml.records.progress import Action, Progress
from ecoautoml.records.trial_result import STATE_AFTER, TrialState

EPOCHS = 3
ROUNDS = 16


def reports_of(job):
    """Return what a made-up training reports: its error falls with every epoch."""
    final = outcome(job).metrics
    costs = {name: value for name, value in final.items() if name != "validation_accuracy"}
    for epoch in range(EPOCHS + 1):
        score = 1 - (1 - final["validation_accuracy"]) * (1 + 0.5 * (EPOCHS - epoch) / EPOCHS)
        metrics = {**costs, **({"validation_accuracy": score} if epoch else {})}
        yield Progress(
            trial=job.number,
            epoch=epoch,
            epochs=EPOCHS,
            metrics=metrics,
            energy_j=1.0 + epoch,
            duration_s=1.0 + epoch,
        )


class Training:
    """A made-up training of a job, one report after the other."""

    def __init__(self, one, job):
        self._one, self._job = one, job
        self._curve = [] if job.before is None else list(job.before.curve)
        self._reports = [each for each in reports_of(job) if each.epoch >= len(self._curve)]

    def step(self):
        """Report once; return how the training has ended, None while it goes on."""
        self._curve.append(self._reports.pop(0))
        decision = self._one.loop.report(self._curve[-1])
        if self._reports and decision.action is Action.CONTINUE:
            return None
        state = STATE_AFTER.get(decision.action, TrialState.COMPLETE)
        epochs = self._curve[-1].epoch
        result = replace(
            outcome(self._job),
            number=self._job.number,
            state=state,
            curve=tuple(self._curve),
            epochs=epochs,
            energy=(line("probe", 1.0), line("training", float(epochs))),
        )
        self._one.loop.tell(result)
        return state


def advance(one, job):
    """Train a job until it ends or is halted; return how it ended."""
    training = Training(one, job)
    while (state := training.step()) is None:
        pass
    return state


def run(one, rounds=ROUNDS):
    """Run so many attempts one after the other; return the numbers and candidates chosen."""
    chosen = []
    for _ in range(rounds):
        job = one.loop.ask()
        chosen.append((job.number, job.candidate))
        advance(one, job)
    return chosen

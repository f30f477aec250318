"""Planned searches driven by hand, on made-up trainings."""

from dataclasses import replace

from searches_by_hand import line, outcome

from ecoautoml.records.progress import Action, Progress
from ecoautoml.records.trial_result import TrialState

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


def advance(one, job):
    """Train a job until it ends or is halted; return how it ended."""
    curve = [] if job.before is None else list(job.before.curve)
    for progress in reports_of(job):
        if progress.epoch < len(curve):
            continue
        curve.append(progress)
        decision = one.loop.report(progress)
        if decision.action is Action.PAUSE:
            break
    state = TrialState.COMPLETE if curve[-1].epoch == EPOCHS else TrialState.PAUSED
    result = replace(
        outcome(job),
        number=job.number,
        state=state,
        curve=tuple(curve),
        epochs=curve[-1].epoch,
        energy=(line("probe", 1.0), line("training", float(curve[-1].epoch))),
    )
    one.loop.tell(result)
    return state


def run(one, rounds=ROUNDS):
    """Run so many attempts one after the other; return the numbers and candidates chosen."""
    chosen = []
    for _ in range(rounds):
        job = one.loop.ask()
        chosen.append((job.number, job.candidate))
        advance(one, job)
    return chosen

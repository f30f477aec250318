"""Stop a trial that has been worse than the median of the finished ones all along.

The median stopping rule (Golovin et al. 2017, section 3.2.2, doi 10.1145/3097983.3098043): a
trial is stopped when its best score so far is worse than the median of what finished trials had on
average up to the same share of their training. It assumes no shape of a curve, only that curves are
alike.

With several objectives it has to be so for every score. Costs are no matter of training, and among
all trials a cheap one is rarely above the median: the rule would clear the cheap end of the front.
So a trial is compared only with finished ones that are no dearer in any cost among the objectives.
What is cheaper than all but a few finished trials runs on.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ecoautoml.records.progress import CONTINUE, Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.rivals import Aims, best_score, may_stop


class MedianPruner(Pruner):
    """See the module's text.

    Args:
        objectives: Objectives of the search, by column name.
        warmup_fraction: Share of a trial's epochs during which it is never stopped.
        min_curves: Finished trials it is at least compared with.
    """

    def __init__(
        self, *, objectives: Sequence[str], warmup_fraction: float, min_curves: int
    ) -> None:
        self._aims = Aims.of(objectives)
        self._warmup_fraction, self._min_curves = warmup_fraction, min_curves

    def decide(self, trial: Running, history: History) -> Decision:
        """Return PRUNE with the median, or CONTINUE."""
        now = trial.curve[-1]
        if not may_stop(now, self._warmup_fraction):
            return CONTINUE
        rivals = self._aims.rivals(now.metrics, history.finished)
        words = [self._behind(name, trial.curve, rivals) for name in self._aims.scores]
        if None in words:
            return CONTINUE
        return Decision(
            action=Action.PRUNE, reason=f"after epoch {now.epoch} of {now.epochs} {words[0]}"
        )

    def _behind(
        self, name: str, curve: Sequence[Progress], rivals: Sequence[TrialResult]
    ) -> str | None:
        """Return by how much a score is below the median, in words; None when it is not."""
        averages = [
            average
            for rival in rivals
            if (average := _average(rival.curve, name, curve[-1])) is not None
        ]
        best = best_score(curve, name)
        if best is None or len(averages) < self._min_curves:
            return None
        median = statistics.median(averages)
        if best >= median:
            return None
        return (
            f"at best {best:.4f} {name}; the median of {self._aims.words(len(averages))} "
            f"was {median:.4f} by then"
        )


def _average(curve: Sequence[Progress], name: str, now: Progress) -> float | None:
    """Return the average of a score up to the share of the training that another has reached."""
    values = [
        report.metrics[name]
        for report in curve
        if report.epoch > 0
        and report.epoch * now.epochs <= now.epoch * report.epochs
        and name in report.metrics
    ]
    return statistics.fmean(values) if values else None

"""The finished models that a running trial is compared with, as simple rules need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecoautoml.records.columns import METRICS
from ecoautoml.records.progress import Progress
from ecoautoml.records.trial_result import TrialResult, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class Aims:
    """The objectives of a search.

    Attributes:
        scores: Those that training decides.
        costs: Those that are known before training, or only grow with it.
    """

    scores: tuple[str, ...]
    costs: tuple[str, ...]

    @classmethod
    def of(cls, objectives: Sequence[str]) -> Aims:
        """Return objectives by column name as scores and costs."""
        return cls(
            scores=tuple(name for name in objectives if METRICS[name].is_score),
            costs=tuple(name for name in objectives if not METRICS[name].is_score),
        )

    def rivals(
        self, now: Mapping[str, float], finished: Sequence[TrialResult]
    ) -> list[TrialResult]:
        """Return the complete models that are no dearer in any cost, by number.

        A cost that is not known, of the trial or of the model, makes no rival.

        Args:
            now: The trial's metrics; a cost that still grows counts as it is now.
            finished: Trials that have ended.
        """
        found = [
            one
            for one in finished
            if one.state is TrialState.COMPLETE
            and all(
                name in now and name in one.metrics and one.metrics[name] <= now[name]
                for name in self.costs
            )
        ]
        return sorted(found, key=lambda one: one.number)

    def words(self, n_rivals: int) -> str:
        """Return how rivals are called."""
        models = f"{n_rivals} finished model{'s' if n_rivals != 1 else ''}"
        verb = "cost" if n_rivals != 1 else "costs"
        return f"{models} that {verb} no more" if self.costs else models


def may_stop(now: Progress, warmup_fraction: float) -> bool:
    """Return whether a trial may be stopped at all: not at its probe, warm-up or last epoch."""
    share = now.epoch / max(1, now.epochs)
    return 0 < now.epoch < now.epochs and share > warmup_fraction


def best_score(curve: Sequence[Progress], name: str, until: int | None = None) -> float | None:
    """Return the best value of a score, None when there is none.

    Args:
        curve: Reports of a trial.
        name: The score.
        until: Last epoch that counts; None: all count.
    """
    values = [
        report.metrics[name]
        for report in curve
        if report.epoch > 0 and name in report.metrics and (until is None or report.epoch <= until)
    ]
    return max(values, default=None)

"""Stop a trial on a plateau that a finished model is above.

A trial is on a plateau when for some epochs no score among the objectives has got better by more
than ``min_delta``. That alone is no reason to stop it: it may be the best there is, and stopped it
would be lost. It is stopped when, besides, a finished model that is no dearer in any cost among the
objectives is better in every score, by more than ``min_delta``.

``training.patience`` is something else: it looks at validation accuracy alone and at no other
trial, and what it ends is complete: exported, measured, and perhaps on the front. This rule may be
far less patient, as it stops only what is beaten as it stands. What it stops is pruned, and saves
its export and measurement, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecoautoml.records.progress import CONTINUE, Action, Decision, Progress
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.strategies.base import History, Pruner, Running
from ecoautoml.strategies.rivals import Aims, best_score, may_stop


class PatiencePruner(Pruner):
    """See the module's text.

    Args:
        objectives: Objectives of the search, by column name.
        epochs: Epochs without an improvement after which a trial is on a plateau.
        min_delta: What a score must get better by to count as an improvement.
        warmup_fraction: Share of a trial's epochs during which it is never stopped.
    """

    def __init__(
        self, *, objectives: Sequence[str], epochs: int, min_delta: float, warmup_fraction: float
    ) -> None:
        self._aims = Aims.of(objectives)
        self._epochs, self._min_delta = epochs, min_delta
        self._warmup_fraction = warmup_fraction

    def decide(self, trial: Running, history: History) -> Decision:
        """Return PRUNE with the rival's number, or CONTINUE."""
        now = trial.curve[-1]
        best = self._plateau(trial.curve)
        if best is None or not may_stop(now, self._warmup_fraction):
            return CONTINUE
        rivals = [
            rival
            for rival in self._aims.rivals(now.metrics, history.finished)
            if self._is_above(rival, best)
        ]
        if not rivals:
            return CONTINUE
        first = self._aims.scores[0]
        rival = max(rivals, key=lambda one: one.metrics[first])
        costs = " for no more cost" if self._aims.costs else ""
        return Decision(
            action=Action.PRUNE,
            reason=f"after epoch {now.epoch} of {now.epochs} at best {best[first]:.4f} {first}, "
            f"no better since epoch {now.epoch - self._epochs}; trial {rival.number} has "
            f"{rival.metrics[first]:.4f}{costs}",
        )

    def _plateau(self, curve: Sequence[Progress]) -> Mapping[str, float] | None:
        """Return the best scores of a trial on a plateau; None: it is not on one."""
        found = {}
        for name in self._aims.scores:
            before = best_score(curve, name, until=curve[-1].epoch - self._epochs)
            best = best_score(curve, name)
            if before is None or best is None or best > before + self._min_delta:
                return None
            found[name] = best
        return found

    def _is_above(self, rival: TrialResult, best: Mapping[str, float]) -> bool:
        return all(
            rival.metrics.get(name, 0.0) > score + self._min_delta for name, score in best.items()
        )

"""How sure one must be to stop a trial, so that few are stopped wrongly; and whether few were.

The user states an error rate ``alpha``: of the trials that are stopped, at most this share would
have joined the front had they gone on.

**From the rate to a threshold.** Let p be the chance that a trial beats the best finished model
that costs no more. If p is right, then of the trials stopped when p is at most a threshold, at most
that share was stopped wrongly, however often one looks: p at the moment of the stop is already the
chance given everything seen, and the share is an average of such chances. (Looks do multiply the
chance that *one given good trial* is stopped at some time; and they pick the moments at which an
imperfect p is too low. The control group is there for that.) So alpha itself is a valid threshold.
At share s of the training only 1 - s of it can be saved, so the risk taken is in proportion:
``alpha * (1 - s)``.

**Control group.** A share of the trials that would be stopped, chosen by chance, runs on to its
end. Of these it is known whether the stop would have been wrong. It is wrong when the final error
is below the bound in force at the stop; fewer are still on the front at the end of the search, so
this is the stricter count. Each wrong one beyond the ``alpha * controls`` that are allowed halves
the threshold. That is adaptive conformal inference (Gibbs and Candès 2021, arXiv 2106.00170) with
the logarithm of the threshold in place of the level: whatever is wrong with p, the share measured
comes down to alpha in the long run. The threshold is never above alpha: with the few controls of
one search, nothing wrong among them is no evidence for more than that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a control group says about an error rate; see the module's text.

    Attributes:
        alpha: The share of stopped trials that may be wrong, within (0, 1).
        controls: Trials that would have been stopped, ran on, and have ended.
        wrong: Those of them that should not have been stopped.
    """

    alpha: float
    controls: int = 0
    wrong: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"an error rate lies between 0 and 1, not at {self.alpha}")
        if not 0 <= self.wrong <= self.controls:
            raise ValueError(f"{self.wrong} of {self.controls} controls cannot have been wrong")

    @property
    def rate(self) -> float | None:
        """Return the measured share of wrong stops; None without controls."""
        return self.wrong / self.controls if self.controls else None

    @property
    def threshold(self) -> float:
        """Return the chance to join the front below which a trial may be stopped at its start."""
        return float(self.alpha * 2.0 ** -max(0.0, self.wrong - self.alpha * self.controls))

    def threshold_at(self, share: float) -> float:
        """Return that chance for a trial at a share of its training, within [0, 1]."""
        return self.threshold * (1.0 - share)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return an interval that holds the true share at least that often: Clopper-Pearson.

        It is wide for few controls (no wrong one among 20: up to 17 %), and (0, 1) for none.
        Source: Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404.

        Args:
            confidence: Within (0, 1).
        """
        tail, right = (1.0 - confidence) / 2.0, self.controls - self.wrong
        low = betaincinv(self.wrong, right + 1, tail) if self.wrong else 0.0
        high = betaincinv(self.wrong + 1, right, 1.0 - tail) if right else 1.0
        return float(low), float(high)


def is_control(*, seed: int, trial: int, share: float) -> bool:
    """Return whether a trial runs on once it would be stopped.

    Depends on nothing else, so a resumed search has the same control group.

    Args:
        seed: Of the search.
        trial: Number of the trial.
        share: Of the trials that would be stopped, how many run on; within [0, 1].
    """
    # a word of its own in the seed: samplers draw from the search's seed and trial number, too
    return bool(np.random.default_rng([0xC0, seed, trial]).random() < share)

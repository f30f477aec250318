"""How sure one must be to stop a trial, so that few are stopped wrongly; and whether few were.

The user states an error rate ``alpha``: of the trials that are stopped, at most this share would
have joined the front had they gone on.

**From the rate to a threshold.** Let p be the chance that a trial beats the best finished model
that costs no more. If p is right, the share of wrong ones among those stopped is the average of
their p at the stop, however often one looks: p at that moment is the chance given everything
seen. (Looks do multiply the chance that *one given good trial* is stopped at some time; and they
pick the moments at which an imperfect p is too low. The control group is there for that.) So alpha
itself is a valid threshold. It gives something away, as p falls by leaps and most trials are well
below a threshold once they are below it; but p is forecast from few curves, and twice alpha was too
much where a search improved and curves began alike (`docs/search_measured.md`).

Two things lower it. At share s of the training only 1 - s of it can be saved, so the risk taken is
in proportion. And early on, p says more of the trials before than of this one's curve; in a search
that improves, those were worse. So in the first fifth the risk is taken by and by. In all:
``alpha * (1 - s) * min(1, 5 s)``.

**Control group.** A share of the trials that would be stopped, chosen by chance, runs on to its
end. Of these it is known whether the stop would have been wrong. It is wrong when no model begun
before is as good for no more cost; fewer are still on the front at the end of the search, so this
is the stricter count. Each wrong one beyond the ``alpha * controls`` that are allowed halves
the threshold. That is adaptive conformal inference (Gibbs and Candès 2021, arXiv 2106.00170) with
the logarithm of the threshold in place of the level: whatever is wrong with p, the share measured
comes down to alpha in the long run. The threshold is never above where it starts: with the few
controls of one search, nothing wrong among them is no evidence for more than that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

EARLY = 0.2
"""Share of a training before which its curve says too little for the whole risk."""


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
        """Return the chance to join the front above which no trial is stopped, at no time."""
        beyond = max(0.0, self.wrong - self.alpha * self.controls)
        return float(self.alpha * 2.0**-beyond)

    def threshold_at(self, share: float) -> float:
        """Return the chance below which one is stopped at a share of its training, in [0, 1]."""
        return self.threshold * (1.0 - share) * min(1.0, share / EARLY)

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

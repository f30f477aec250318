"""The contract of a pruner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ecoautoml.records.progress import Decision, Progress
from ecoautoml.records.trial_result import TrialResult


class Pruner(ABC):
    """Decides at every report of a trial whether it goes on.

    Called in the main process, once per report, in the order of the reports. A pruner keeps no
    state: the same progress and history give the same decision, so a resumed search decides as an
    uninterrupted one.
    """

    @abstractmethod
    def decide(self, curve: Sequence[Progress], finished: Sequence[TrialResult]) -> Decision:
        """Return whether the trial goes on.

        Args:
            curve: The trial's reports so far, oldest first; the first (epoch 0) is the probe.
            finished: Trials that have ended, in any order.
        """

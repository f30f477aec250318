"""What workers do beside trials: a look ahead before, measuring and scoring the front after."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ecoautoml.config.models import SearchConfig
from ecoautoml.errors import EcoAutoMLError
from ecoautoml.executors.base import Executor
from ecoautoml.executors.messages import LookAheadAt, MeasureInTurn, ScoreOnTest
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.spaces.dimensions import SearchSpace
from ecoautoml.spaces.random import random_candidate
from ecoautoml.strategies.samplers import derive_seed
from ecoautoml.study.finalists import finalists, settled
from ecoautoml.study.forecast import Forecast, forecast
from ecoautoml.study.ledger import Ledger
from ecoautoml.study.session import Session
from ecoautoml.study.standing import front_numbers

logger = logging.getLogger(__name__)

LOOK_AHEAD_CANDIDATES = 2
LOOK_AHEAD_LIMIT_S = 180.0
FINAL_LIMIT_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Errands:
    """Sends workers on errands; what one of them costs is on the bill, also when it fails.

    Args:
        config: The search's configuration.
        ledger: Where answers are written.
        session: Where joules are written.
        executor: Who has the workers.
        should_interrupt: Whether the user has asked to stop.
    """

    config: SearchConfig
    ledger: Ledger
    session: Session
    executor: Executor
    should_interrupt: Callable[[], bool]

    def look_ahead(self, space: SearchSpace, workers: int) -> Forecast:
        """Try a few random candidates, and tell what the search will take with so many workers."""
        seeds = [
            derive_seed(self.config.seed, "look ahead", i) for i in range(LOOK_AHEAD_CANDIDATES)
        ]
        candidates = tuple(random_candidate(space, seed) for seed in seeds)
        task = LookAheadAt(candidates=candidates)
        try:
            seen = self._call(task, "look ahead", LOOK_AHEAD_LIMIT_S)
        except EcoAutoMLError as error:  # the candidates misbehave: then nothing can be told
            logger.info("no look ahead: %s", error)
            return forecast(self.config.budget, (), (), workers)
        return forecast(
            self.config.budget,
            seen.trial_s,
            seen.trial_energy_j,
            workers,
            self.session.idle_w,
        )

    def settle_front(self) -> list[TrialResult]:
        """Measure the models that may be on the front in turn, unless that was done before.

        Returns:
            All results, those of the measured models with what was found.
        """
        results, lost = self.ledger.results(), self.ledger.lost()
        objectives, prefer = self.config.objectives, self.config.prefer
        numbers = finalists(results, objectives, lost, prefer)
        ranking = self.ledger.ranking()
        if numbers and (ranking is None or not numbers <= ranking.measurements.keys()):
            candidates = {one.number: one.candidate for one in results if one.number in numbers}
            try:
                task = MeasureInTurn(candidates=candidates)
                ranking = self._call(task, "final measurement", FINAL_LIMIT_S)
            except EcoAutoMLError as error:  # the search itself is done, and its readings stand
                self.session.note_for_now(
                    f"The front was not measured in turn ({error}): its joules were measured at "
                    "the end of each trial, while others trained."
                )
                return results
            found = settled(results, objectives, ranking, lost, prefer)
            out = numbers - front_numbers(found, objectives, prefer)
            self.ledger.set_ranking(ranking, lost | out)
        return settled(results, objectives, ranking, self.ledger.lost(), prefer)

    def score_front(self, results: list[TrialResult]) -> None:
        """Score the models of the front on the test images, those not scored before."""
        known: dict[str, float] = self.ledger.attribute("test_scores") or {}
        numbers = front_numbers(results, self.config.objectives, self.config.prefer)
        candidates = {
            result.number: result.candidate
            for result in results
            if result.number in numbers and str(result.number) not in known
        }
        if not candidates:
            return
        try:
            scores = self._call(
                ScoreOnTest(candidates=candidates), "test evaluation", FINAL_LIMIT_S
            )
        except EcoAutoMLError as error:
            self.session.note_for_now(f"The front could not be scored on the test images: {error}.")
            return
        fresh = {str(number): score for number, score in scores.items()}
        self.ledger.set_attribute("test_scores", {**known, **fresh})

    def _call(self, task: Any, name: str, time_limit_s: float) -> Any:
        if self.should_interrupt():
            raise EcoAutoMLError("the search was interrupted")
        answer = self.executor.call(
            task,
            name=name,
            time_limit_s=time_limit_s,
            should_stop=self.should_interrupt,
            on_mark=self.session.write,
        )
        self.session.write()
        return answer

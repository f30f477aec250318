"""The end of a search: which models may be on the front, and what the last measuring says of them.

A model measured while others train, an hour after its rival, is known to a few per cent. So no such
reading decides the front: every model that may be on it is measured again, in turn with the others.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecoautoml.config.preferences import NOTHING, Prefer
from ecoautoml.records.columns import INFERENCE_ENERGY, METRICS
from ecoautoml.records.measurement import Ranking
from ecoautoml.records.trial_result import TrialResult
from ecoautoml.study.standing import comparable, of_use


def finalists(
    results: Sequence[TrialResult],
    objectives: Sequence[str],
    lost: Set[int] = frozenset(),
    prefer: Prefer = NOTHING,
) -> set[int]:
    """Return the trials that are on the front, or may be, given the intervals of their joules.

    A trial is out when another is at least as good in everything, and better in something, even
    with its own joules at the lower end of their interval and the other's at the upper end.

    Args:
        results: Finished trials.
        objectives: Column names.
        lost: Trials that were measured in turn before and are not on the front: out for
            good, but what they beat stays beaten.
        prefer: What is of use; trials beyond its reference are out while another is within.
    """
    found = of_use(comparable(results, objectives), prefer)
    if not found:
        return set()
    low, high = _losses(found, objectives, 0), _losses(found, objectives, 1)
    # entry [i, j]: j surely beats i
    is_no_worse: NDArray[np.bool_] = np.all(high[None] <= low[:, None], axis=2)
    is_better: NDArray[np.bool_] = np.any(high[None] < low[:, None], axis=2)
    is_out = np.any(is_no_worse & is_better, axis=1)
    return {one.number for one, out in zip(found, is_out, strict=True) if not out} - lost


def settled(
    results: Sequence[TrialResult],
    objectives: Sequence[str],
    ranking: Ranking | None,
    lost: Set[int] = frozenset(),
    prefer: Prefer = NOTHING,
) -> list[TrialResult]:
    """Return the results with what measuring in turn found; as they are without it.

    A ranking that misses a finalist, because trials were added later, settles nothing.
    """
    if ranking is None:
        return list(results)
    if not finalists(results, objectives, lost, prefer) <= ranking.measurements.keys():
        return list(results)
    return [_settled(result, ranking) for result in results]


def _settled(result: TrialResult, ranking: Ranking) -> TrialResult:
    number = result.number if result.reused_from is None else result.reused_from
    final = ranking.measurements.get(number)
    if final is None:
        return result
    metrics = {**result.metrics, "latency_ms": final.latency_ms}
    if final.energy_j is not None:
        metrics[INFERENCE_ENERGY] = final.energy_j
    return replace(result, metrics=metrics, final=final, ties_with=_ties_of(number, ranking))


def _ties_of(number: int, ranking: Ranking) -> tuple[int, ...]:
    pairs = [(int(one.a), int(one.b)) for one in ranking.comparisons if one.verdict == "tie"]
    return tuple(sorted(sum(pair) - number for pair in pairs if number in pair))


def _losses(
    results: Sequence[TrialResult], objectives: Sequence[str], end: int
) -> NDArray[np.float64]:
    """Return losses ``(n_results, n_objectives)``, joules at the lower (0) or upper (1) end."""
    return np.array(
        [
            [METRICS[name].loss(_value(result, name, end)) for name in objectives]
            for result in results
        ]
    )


def _value(result: TrialResult, name: str, end: int) -> float:
    inference = result.inference
    if name == INFERENCE_ENERGY and inference is not None:
        bound = (inference.energy_low_j, inference.energy_high_j)[end]
        if bound is not None:
            return bound
    return result.metrics[name]

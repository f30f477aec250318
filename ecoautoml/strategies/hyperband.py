"""Multi-objective Hyperband: successive halving that begins at several rungs.

How much a short training tells is not known beforehand. So trials are shared out among brackets,
whose first rungs differ: the first bracket halts trials early and keeps few, the last trains all of
its own to their end (Li et al. 2018, arXiv 1603.06560; without waiting, as in Li et al. 2020, arXiv
1810.05934). Trials are compared within their bracket only.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ecoautoml.strategies.halving import HalvingPruner, Ladder
from ecoautoml.strategies.samplers import derive_seed


def hyperband_pruner(
    *, objectives: Sequence[str], ladder: Ladder, ranking: str, seed: int
) -> HalvingPruner:
    """Return successive halving in brackets.

    Args:
        objectives: Objectives of the search, by column name.
        ladder: The rungs; there are as many brackets.
        ranking: How those of a rung are ranked, see `ranking.RANKINGS`.
        seed: Seed of the search, for what is ranked by chance, and for who is in which bracket.
    """
    return HalvingPruner(
        objectives=objectives,
        ladder=ladder,
        ranking=ranking,
        seed=seed,
        first_rung=functools.partial(bracket_of, sizes=bracket_sizes(ladder), seed=seed),
    )


def bracket_sizes(ladder: Ladder) -> tuple[int, ...]:
    """Return in what proportion brackets get trials, by their first rung.

    With R = ``ladder.last`` and s rungs above its first one, a bracket gets
    ⌈(R + 1) / (s + 1) · reduction^s⌉ trials (algorithm 1 of arXiv 1603.06560): then all brackets
    train for about as many epochs.
    """
    above = range(ladder.last, -1, -1)
    return tuple(-(-(ladder.last + 1) * ladder.reduction**s // (s + 1)) for s in above)


def bracket_of(number: int, *, sizes: tuple[int, ...], seed: int) -> int:
    """Return the bracket of a trial.

    As many trials in a row as all sizes together are shared out exactly, shuffled by the seed.

    Args:
        number: The trial's number.
        sizes: Of the brackets.
        seed: Seed of the search.
    """
    block, place = divmod(number, sum(sizes))
    return _shuffled(sizes, seed, block)[place]


@functools.lru_cache(maxsize=256)
def _shuffled(sizes: tuple[int, ...], seed: int, block: int) -> tuple[int, ...]:
    """Return the brackets of a block of trials; each is asked for over and over."""
    places = [bracket for bracket, size in enumerate(sizes) for _ in range(size)]
    chances = [derive_seed(seed, "bracket", block, place) for place in range(len(places))]
    return tuple(bracket for _, bracket in sorted(zip(chances, places, strict=True)))

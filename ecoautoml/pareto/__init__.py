"""Arithmetic of trade-offs: NumPy in, NumPy out; no files, clocks or records.

Main entries: `front.non_dominated_mask`, `hypervolume.hypervolume`, `knee.knee_index`; `scale`
turns values into losses first. Everywhere ``losses`` has the shape ``(n_points, n_objectives)`` and
smaller is better. A wrong shape raises ``ValueError``; a row with NaN is unknown and never wins.
"""

from ecoautoml.pareto.front import non_dominated_mask, non_domination_rank
from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.pareto.knee import knee_index
from ecoautoml.pareto.scale import as_losses, reference_point

__all__ = [
    "as_losses",
    "hypervolume",
    "knee_index",
    "non_dominated_mask",
    "non_domination_rank",
    "reference_point",
]

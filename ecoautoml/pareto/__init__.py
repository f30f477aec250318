"""Arithmetic of trade-offs: NumPy in, NumPy out; no files, clocks or records.

Main entries: `front.non_dominated_mask`, `hypervolume.hypervolume`, `knee.knee_index`; `scale`
turns values into losses first, `spread` puts points into an order. Everywhere ``losses`` has the
shape ``(n_points, n_objectives)`` and smaller is better. A wrong shape raises ``ValueError``; a row
with NaN is unknown and never wins.
"""

from ecoautoml.pareto.front import non_dominated_mask, non_domination_rank
from ecoautoml.pareto.hypervolume import hypervolume
from ecoautoml.pareto.knee import knee_index
from ecoautoml.pareto.scale import as_losses, reference_point, to_unit_range
from ecoautoml.pareto.spread import crowding_distance, farthest_first

__all__ = [
    "as_losses",
    "crowding_distance",
    "farthest_first",
    "hypervolume",
    "knee_index",
    "non_dominated_mask",
    "non_domination_rank",
    "reference_point",
    "to_unit_range",
]

"""Compression: a trained network becomes a cheaper one before it is exported.

Entry points: `STEPS` (name → member), `ecoautoml.compression.base.CompressionStep` (the contract),
`ecoautoml.compression.pipeline.compress` (all steps a candidate asks for, in their legal order).
Errors: `TrialError` when a network cannot be compressed as asked, `MissingExtraError` when a
package is not installed. Quantisation is not here: it belongs to the file a runtime writes.
This module and `base` import no torch.
"""

from ecoautoml.compression.base import CompressionStep
from ecoautoml.registry import Entry, Registry

__all__ = ["STEPS"]

STEPS: Registry[CompressionStep] = Registry(
    "compression step",
    (
        Entry(
            name="prune",
            target="ecoautoml.compression.prune:Prune",
            description="whole channels are taken out (torch-pruning)",
        ),
        Entry(
            name="distil",
            target="ecoautoml.compression.distil:Distil",
            description="it learns from a teacher, such as itself before pruning",
        ),
        Entry(
            name="sparsify",
            target="ecoautoml.compression.sparsify:Sparsify",
            description="single weights become 0; for runtimes with sparse kernels",
        ),
    ),
    group="ecoautoml.compression",
)

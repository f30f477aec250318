"""Networks: a `Candidate` becomes a torch module, built from timm's blocks.

Entry points: `build.build_network` (candidate → network), `deployable.Deployable` (a network with
its normalisation), `cost` (parameters and MACs of a network), `arithmetic.count_network` (the same
of a candidate, without building it), `checkpoint` (folder ↔ `Deployable`) and
`zoo.expand_timm_names` (patterns → timm names). Errors: `SpaceError` when a candidate cannot be
built, `RunError` when a checkpoint cannot be read. The modules import torch and timm; this one,
`arch` and `arithmetic` do not.
"""

"""Strategies: what to try next (samplers) and what to stop early (pruners).

Entry points: `ecoautoml.strategies.samplers.make_sampler`,
`ecoautoml.strategies.pruners.make_pruner`.
"""

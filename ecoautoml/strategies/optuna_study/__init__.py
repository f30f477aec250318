"""For an Optuna study of one's own: the sampler and the pruner without the rest of the house.

Entry points: `ecoautoml.strategies.EnergyFirstSampler`, `ecoautoml.strategies.FrontPruner`.
"""

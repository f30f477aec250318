"""Energy first: costs are known before training, so only accuracy has to be learned and paid for.

Entry point: `ecoautoml.strategies.energy_first.planner.EnergyFirst`.
"""

"""Carbon: grams of CO2e from joules, always after energy and never folded into it.

Entry point: `ecoautoml.carbon.grams.carbon_gco2e`.
"""

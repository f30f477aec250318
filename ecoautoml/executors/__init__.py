"""Executors: where trials run and how many at once.

Entry points: `ecoautoml.executors.base.Executor` (the contract),
`ecoautoml.executors.local.LocalExecutor`.
"""

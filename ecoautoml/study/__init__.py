"""The search itself: ask → run → tell → record, on a ledger that survives anything.

Entry points: `ecoautoml.study.loop.SearchLoop`, `ecoautoml.study.ledger.Ledger`.
Errors: `RunError`.
"""

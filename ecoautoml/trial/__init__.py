"""One trial, from candidate to result, inside a worker process.

Entry point: `ecoautoml.trial.run.run_trial`. Errors: `TrialError` (recorded, never fatal).
"""

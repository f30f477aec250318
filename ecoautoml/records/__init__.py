"""What travels through the program: frozen values, no behaviour beyond reading themselves.

Entry points: `Candidate` (what to build), `TrialJob` (what to run), `Progress` and `Decision`
(while it runs), `TrialResult` (what came out), `EnergyReading` (joules and where they come from).
`columns` is the one place where metric and column names stand.
"""

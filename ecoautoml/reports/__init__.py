"""What a search found, for people: tables, figures, one HTML page.

Input is records only: the trials' `TrialResult` and one `summary.RunSummary`. Main entries:
`frame.make_frames` (pandas), `html.write_report` (the page), `text.front_table_text` (the
terminal), `bill.energy_bill` and `trajectory.trajectory` (numbers behind the figures). A run
without finished trials is an ordinary input, not an error; this room raises nothing of its own.
"""

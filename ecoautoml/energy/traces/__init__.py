"""Recorded and hand-made counters, faults included, as meters."""

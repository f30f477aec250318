"""Counters of a machine: sums that survive wraps, CPU seconds, and who gets which part."""

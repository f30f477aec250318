"""Measuring a load: calls, blocks of calls aligned to counters, intervals, comparing in turn."""

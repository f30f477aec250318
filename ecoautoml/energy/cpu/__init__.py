"""The processor: RAPL, perf, and CPU time × watts with its table and its calibration."""

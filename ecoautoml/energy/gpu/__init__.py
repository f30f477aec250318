"""NVIDIA boards: which are visible, their counters and ticks, their power, and who shares them."""

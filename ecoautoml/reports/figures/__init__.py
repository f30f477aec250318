"""The pictures of a run, one file each.

Every file has ``_info(...)``, which decides what is shown and returns plain values, and
``figure(...)``, which draws exactly that with plotly. Both work for runs without any finished
trial. `style` holds colours and axes, so that all pictures look alike, on light and dark pages.
"""

"""What machine this is: one file per part, each reading /proc and /sys below a root folder.

Each ``describe(root)`` returns plain JSON data with units in the names; what cannot be read is
absent. Keys are documented in ``docs/results.md#platform``.
"""

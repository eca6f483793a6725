"""How good a model is, and whether that is good enough.

Enters: the metrics of a finished run and the goals that were stated before it. Leaves: what was met
and what was not; an alias moves, and a command ends with 0, only where all goals were met.
"""

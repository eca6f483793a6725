"""How good a model is, and whether that is good enough.

Enters: the metrics of a finished run, the goals that were stated before it, and the predictions of
two models for the same rows. Leaves: which goals were met, by how much one model is better than the
other and whether that may be chance, and the verdict on an alias: it moves only where all goals are
met and the new version is better (`gate.py`).
"""

from distrain.door import make_callable

# `distrain.evaluate(...)` measures a model: see `distrain.door`.
make_callable(__name__)

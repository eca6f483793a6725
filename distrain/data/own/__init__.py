"""Rows that come from a torch Dataset of the user's own, which stays as it is.

`data.dataset` enters; tensors leave, in the plan's order, and nothing is written but a manifest.
`opening.py` is where a Dataset enters; `reading.py` gives each of its rows random numbers of its
own (`drawing.py`), and says what it raises (`faults.py`); `packing.py` brings batches out of
reading processes; `batches.py` tells inputs from targets; `split.py` and `loader.py` are read from
in evaluation and in training; `making.py` looks at it before anything starts.
"""

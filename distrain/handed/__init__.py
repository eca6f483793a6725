"""What is handed over from Python: data, a model, a loss, a step. Files and import paths leave.

`rows.py` writes data to Parquet; `datasets.py` takes torch Datasets; `definitions.py` takes classes
and functions out of a script or a notebook into a module; `describing.py` writes down modules and
Datasets that exist already, with `parts.py`, `frames.py` and `store.py` for what they hold;
`package.py` keeps all that below the storage; `over.py` makes a configuration of it. Nothing is
pickled: a run that goes on, a search, a reproduction and the registered model find everything by
import path and file, as where all of it had been written down at first.
"""

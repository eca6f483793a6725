"""What is handed over from Python: data, a model, a loss. Files and import paths leave.

`rows.py` writes data to Parquet; `definitions.py` takes classes and functions out of a script or a
notebook into a module; `package.py` keeps that, and a model that exists already, below the storage;
`over.py` makes a configuration of it all. Nothing is pickled: a run that goes on, a search, a
reproduction and the registered model find everything by import path and file, as where all of it
had been written down at first.
"""

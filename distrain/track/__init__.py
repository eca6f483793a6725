"""What happened, kept: records enter the journal, a run and a registered model leave in MLflow.

`journal.py` and `packaged.py` are light (no mlflow); the shipper, the registry and the tracking
server import mlflow inside the functions that need it, because importing it takes seconds.
"""

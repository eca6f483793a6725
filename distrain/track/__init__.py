"""What happened, kept: records enter the journal; a run and a registered model leave in MLflow.

`journal.py` is where everything recorded goes first, and `journal_reading.py` takes it out again;
`shipper.py` brings it to MLflow in portions (`delivery.py`), by the calls in `sending.py`;
`covered.py` says what has to wait, and `deleted.py` what becomes of a run that was deleted there.
A search's trials leave as runs below its own (`children.py`, from what `trials.py` makes of its
events). `record.py` holds them together. `sync.py` ships what an earlier command could not, which
`unsent.py` tells of without sending, and `synced.py` is what became of it; `backlog.py` counts what
waits while a run is recorded.
`tracking_server.py` says where MLflow is and `reachable.py` whether it answers, or `database.py`
whether its file can be used. `packaged.py` is a trained model as a folder, `pyfunc_model.py` the
same as an MLflow model, `registry.py` makes a version of it and `model_versions.py` finds one.
`lineage.py`, `git.py` and `describe.py` are the tags, parameters and texts, `datasets.py` the data;
`lineage_folder.py` keeps what a run is made again from, and `recorded.py` finds it. `runs.py` lists
what is below a storage folder.

mlflow is imported inside functions, because that takes seconds, which `early_import.py` spends
while Ray starts; `journal.py` and `packaged.py` never import it.
"""

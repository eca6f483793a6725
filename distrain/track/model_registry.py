"""In which registry a model that a command names is looked for: where its runs were recorded."""

import os
from pathlib import Path

from distrain.object_store.place import remote_text
from distrain.run_folder import JOURNAL
from distrain.track.runs import run_dirs
from distrain.track.stores import server_of_run
from distrain.track.tracking_server import (
    TrackingServer,
    resolve_tracking_uri,
    server_beside_store,
)
from distrain.track.watermark import Watermark


def registry_of(model: str, storage: Path) -> TrackingServer:
    """Return the tracking store of a model: MLFLOW_TRACKING_URI, else that of its newest run.

    A run may have been recorded at a `track.uri` of its own. Where no run below the storage folder
    has registered the model, it is the storage folder's.

    Args:
        model: `models:/name`, with a version, an alias or neither; or a run.
        storage: the folder that runs are kept in.

    Raises:
        ConfigError: MLFLOW_TRACKING_URI is no tracking store.
        TrackingError: the run's cannot be told without its password.
    """
    # What is set for this very command comes before what lies in a folder.
    if not os.environ.get("MLFLOW_TRACKING_URI") and model.startswith("models:/"):
        name = model.removeprefix("models:/").partition("/")[0].partition("@")[0]
        newest_first = sorted(run_dirs(storage), key=lambda path: path.name, reverse=True)
        for run_dir in newest_first:
            made = Watermark.load(run_dir / JOURNAL).versions.values()
            if any(version_name == name for version_name, _, _ in made):
                return server_of_run(run_dir)
    uri = remote_text(storage)
    if uri is not None and model.startswith("models:"):
        return server_beside_store(None, uri, is_offline=False)
    return resolve_tracking_uri(None, storage)

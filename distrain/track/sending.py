"""One journal's records as calls to MLflow, each of them safe to repeat.

MLflow stores an identical metric row, parameter, tag or dataset input once, however often it is
sent, and overwrites an artifact. A run it would create twice, so a run is searched by its key
first. What the store refuses for good is kept apart and counted, the rest goes on.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from distrain.track.journal_reading import JournalRecord, metric_values
from distrain.track.tracking_server import TrackingServer

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric

MAX_METRICS_PER_CALL = 1000
MAX_OTHERS_PER_CALL = 100
MAX_TAG_LENGTH = 8000
MAX_SHOWN_FILES = 20
KEY_TAG = "distrain.key"
GOES_ON = "RUNNING"

_OLDEST = ["attributes.start_time ASC"]
_CONTEXTS = {"train": "training", "validation": "validation", "test": "test"}

T = TypeVar("T")
logger = logging.getLogger(__name__)


@final
class RunSender:
    """Sends records of one run; every method may be repeated after a failure.

    Args:
        client: a client whose own retries are off.
        run_id: the run.
        reject: called with each thing that the store refuses for good, and why.
    """

    def __init__(
        self, client: "MlflowClient", run_id: str, reject: Callable[[str, str], None]
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._reject = reject

    def params(self, values: Sequence[tuple[str, Any]]) -> None:
        """Send up to 100 parameters, apart from all else: one that conflicts rejects its call."""
        from mlflow.entities import Param

        self._send([Param(key, str(value)) for key, value in values], "params")

    def metrics(self, metrics: "Sequence[Metric]") -> None:
        """Send up to 1,000 metric rows with the timestamps that they were recorded with."""
        self._send(metrics, "metrics")

    def tags(self, values: Sequence[tuple[str, Any]]) -> None:
        """Send up to 100 tags; the last value of a tag stands."""
        from mlflow.entities import RunTag

        self._send([RunTag(key, str(value)[:MAX_TAG_LENGTH]) for key, value in values], "tags")

    def dataset(self, facts: Mapping[str, Any]) -> None:
        """Send one dataset input for each split; see `describe.dataset_facts`."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_inputs(self._run_id, datasets=dataset_inputs(facts))
        except MlflowException as error:
            if not is_refusal(error) or self._is_run_gone():
                raise
            self._reject(f"dataset {facts['name']}", str(error))

    def artifact(self, path: Path, artifact_path: str) -> None:
        """Send a file, or what is in a folder."""
        if not path.exists():
            self._reject(f"artifact {path}", "the file is gone")
            return
        send = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        try:
            send(self._run_id, str(path), artifact_path or None)
        except Exception as error:  # kept in the rejected file and counted, or raised again
            # Artifact stores raise errors of their own clients: requests, boto3, the disk's.
            if not (is_refusal(error) or isinstance(error, PermissionError)):
                raise
            self._reject(f"artifact {path}", str(error))

    def end(self, status: str, end_ms: int) -> None:
        """Set the run's status, and where it ended when that was (milliseconds since 1970)."""
        if status == GOES_ON:
            self._client.update_run(self._run_id, status)
        else:
            self._client.set_terminated(self._run_id, status, end_ms)

    def _send(self, items: Sequence[Any], kind: str) -> None:
        """Send in one request; where it is refused, find what is refused by halves."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_batch(self._run_id, **{kind: items}, synchronous=True)
        except MlflowException as error:
            if not is_refusal(error) or self._is_run_gone():
                raise
            if len(items) == 1:
                self._reject(f"{kind} {items[0].key}", str(error))
                return
            middle = len(items) // 2
            self._send(items[:middle], kind)
            self._send(items[middle:], kind)

    def _is_run_gone(self) -> bool:
        stage: str = self._client.get_run(self._run_id).info.lifecycle_stage
        return stage != "active"


def find_or_create_run(
    client: "MlflowClient", server: TrackingServer, facts: Mapping[str, Any], start_ms: int
) -> tuple[str, str]:
    """Return the experiment and run ids of a run; makes what is not there yet.

    Args:
        client: a client whose own retries are off.
        server: where a new experiment's artifacts go.
        facts: `experiment`, `key` (one per run, forever), `name` and `tags`.
        start_ms: when the run started, in milliseconds since 1970.
    """
    experiment_id = find_or_create_experiment(client, server, facts["experiment"])
    found = client.search_runs(
        [experiment_id], f"tags.`{KEY_TAG}` = '{facts['key']}'", max_results=1, order_by=_OLDEST
    )
    if found:
        return experiment_id, found[0].info.run_id
    tags = {name: str(value)[:MAX_TAG_LENGTH] for name, value in facts["tags"].items()}
    tags[KEY_TAG] = facts["key"]
    run = client.create_run(experiment_id, start_ms, tags, facts["name"])
    return experiment_id, run.info.run_id


def delete_doubles(client: "MlflowClient", experiment_id: str, run_id: str) -> None:
    """Delete other runs with a run's key.

    A server that answers after its client has given up makes a run that the client's next search
    does not find yet; nothing was ever sent to it.

    Args:
        client: a client whose own retries are off.
        experiment_id: MLflow's.
        run_id: of the run that stays.
    """
    key = client.get_run(run_id).data.tags[KEY_TAG]
    for found in client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'"):
        if found.info.run_id != run_id:
            client.delete_run(found.info.run_id)


def find_or_create_experiment(client: "MlflowClient", server: TrackingServer, name: str) -> str:
    """Return an experiment's id; makes it where it is missing, restores it where deleted."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        root = server.artifact_root
        location = (root / name).as_uri() if root else None
        try:
            created: str = client.create_experiment(name, location)
        except MlflowException as error:
            # Another process was faster, or the answer to an earlier attempt was lost.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise error
        else:
            return created
    if experiment.lifecycle_stage == "deleted":
        logger.warning("MLflow experiment %r was deleted; it is restored for this run", name)
        client.restore_experiment(experiment.experiment_id)
    found: str = experiment.experiment_id
    return found


def dataset_inputs(facts: Mapping[str, Any]) -> "list[DatasetInput]":
    """Return a dataset input for each split.

    MLflow keeps one input for a name and digest, so each split has a name of its own.

    Args:
        facts: as `describe.dataset_facts` gives them.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [
        {"type": type_, "name": name, "required": False} for name, type_ in facts["schema"].items()
    ]
    source_type, source = _source(facts["sources"])
    inputs = []
    for split, num_rows in facts["splits"].items():
        profile = {
            "num_rows": num_rows,
            "splits": facts["splits"],
            "tensors": facts["tensors"],
            "prepared_sha256": facts["digest"],
        }
        dataset = Dataset(
            name=f"{facts['name']}/{split}",
            digest=facts["digest"][:32],
            source_type=source_type,
            source=json.dumps(source),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps(profile),
        )
        tag = InputTag("mlflow.data.context", _CONTEXTS.get(split, split))
        inputs.append(DatasetInput(dataset, [tag]))
    return inputs


def new_metrics(
    records: Sequence[JournalRecord], last_steps: dict[str, int]
) -> "tuple[list[Metric], dict[str, int]]":
    """Return the metric rows to send, and the greatest step of each metric after them.

    A row at or below a metric's greatest step is of a step that was computed again; the first value
    stands.

    Args:
        records: records of all kinds.
        last_steps: metric to the greatest step that was sent; left as it is.
    """
    from mlflow.entities import Metric

    reached = dict(last_steps)
    rows = []
    for record in records:
        if record.kind not in ("metrics", "system"):
            continue
        step = record.payload["step"]
        for key, value in metric_values(record).items():
            if step > reached.get(key, -1):
                reached[key] = step
                rows.append(Metric(key, value, record.time_ms, step))
    return rows, reached


def of_kind(records: Sequence[JournalRecord], kind: str) -> list[JournalRecord]:
    """Return the records of one kind, in order."""
    return [record for record in records if record.kind == kind]


def batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return the items in runs of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def is_refusal(error: Exception) -> bool:
    """Return whether the store said that what was sent is wrong, so that repeating is no use."""
    if hasattr(error, "get_http_status_code"):
        code = error.get_http_status_code()
    else:  # an artifact's, sent by requests
        code = getattr(getattr(error, "response", None), "status_code", 0)
    return code in (400, 409, 413, 422)


def _source(uris: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the type and the description of a dataset's source, as MLflow's page shows them."""
    if uris and all(uri.startswith("/") for uri in uris):
        return "local", {"uri": os.path.commonpath(uris), "files": list(uris[:MAX_SHOWN_FILES])}
    return "distrain", {"uri": ", ".join(uris[:MAX_SHOWN_FILES])}

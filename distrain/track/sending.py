"""One journal's records as calls to MLflow, each of them safe to repeat.

MLflow stores an identical metric row, parameter, tag or dataset input once, however often it is
sent, and overwrites an artifact. A run it would create twice, so a run is searched by its key
first. What the store refuses for good is kept apart and counted, the rest goes on.

Text passes `sendable`: PostgreSQL takes no NUL, and nothing takes the half characters by which
Python stands for bytes of a file's name that are no UTF-8. MLflow answers 500 to the one and fails
on the other before it sends anything, so that either would be tried for ever.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from distrain.track.journal_reading import JournalRecord
from distrain.track.new_points import Point
from distrain.track.rejected import Rejected
from distrain.track.tracking_server import TrackingServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_METRICS_PER_CALL = 1000
MAX_OTHERS_PER_CALL = 100
MAX_TAG_LENGTH = 8000
KEY_TAG = "distrain.key"
GOES_ON = "RUNNING"

_OLDEST = ["attributes.start_time ASC"]

T = TypeVar("T")
logger = logging.getLogger(__name__)


@final
class RunSender:
    """Sends records of one run; every method may be repeated after a failure.

    Args:
        client: a client whose own retries are off.
        run_id: the run.
        rejected: takes what the store refuses for good.
    """

    def __init__(self, client: "MlflowClient", run_id: str, rejected: Rejected) -> None:
        self._client = client
        self._run_id = run_id
        self._rejected = rejected

    def params(self, values: Sequence[tuple[str, Any]]) -> None:
        """Send up to 100 parameters, apart from all else: one that conflicts rejects its call."""
        from mlflow.entities import Param

        self._send([Param(key, sendable(value)) for key, value in values], "params")

    def metrics(self, points: Sequence[Point]) -> None:
        """Send up to 1,000 points of metrics with the timestamps that they were recorded with."""
        from mlflow.entities import Metric

        self._send([Metric(*point) for point in points], "metrics")

    def tags(self, values: Sequence[tuple[str, Any]]) -> None:
        """Send up to 100 tags; the last value of a tag stands."""
        from mlflow.entities import RunTag

        tags = [RunTag(key, sendable(value)[:MAX_TAG_LENGTH]) for key, value in values]
        self._send(tags, "tags")

    def dataset(self, facts: Mapping[str, Any]) -> None:
        """Send one dataset input for each split; see `describe.dataset_facts`."""
        from distrain.track.datasets import dataset_inputs

        inputs = dataset_inputs(facts)
        request = partial(self._client.log_inputs, self._run_id, datasets=inputs)
        self._make(request, f"dataset {facts['name']}")

    def artifact(self, path: Path, artifact_path: str) -> None:
        """Send a file."""
        if not path.exists():
            self._rejected.add(f"artifact {path}", "the file is gone")
            return
        try:
            self._client.log_artifact(self._run_id, str(path), artifact_path or None)
        except Exception as error:  # kept in the rejected file and counted, or raised again
            # Artifact stores raise errors of their own clients: requests, boto3, the disk's.
            if not (is_refusal(error) or isinstance(error, PermissionError)):
                raise
            self._rejected.add(f"artifact {path}", str(error))

    def end(self, status: str, end_ms: int) -> None:
        """Set the run's status, and where it ended when that was (milliseconds since 1970)."""
        if status == GOES_ON:
            self._client.update_run(self._run_id, status)
        else:
            self._client.set_terminated(self._run_id, status, end_ms)

    def _send(self, items: Sequence[Any], kind: str) -> None:
        """Send in one request; where it is refused, find what is refused by halves."""
        from mlflow.exceptions import MlflowException

        request = partial(self._client.log_batch, self._run_id, **{kind: items}, synchronous=True)
        if len(items) == 1:
            self._make(request, f"{kind} {items[0].key}")
            return
        try:
            request()
        except MlflowException as error:
            if not is_refusal(error):
                raise
            middle = len(items) // 2
            self._send(items[:middle], kind)
            self._send(items[middle:], kind)

    def _make(self, request: Callable[[], object], what: str) -> None:
        """Make a request; what the store refuses, though it takes other things, is set aside."""
        if _refusal_of(request) is None:
            return
        self._rejected.tell(one_more=True)
        # That was taken; if this is too by now, the store was in trouble, and is no more.
        why = _refusal_of(request)
        if why is None:
            self._rejected.tell()
        else:
            self._rejected.add(what, why)


def _refusal_of(request: Callable[[], object]) -> str | None:
    """Make a request and return why the store refuses it, None where it does not."""
    from mlflow.exceptions import MlflowException

    try:
        request()
    except MlflowException as error:
        if not is_refusal(error):
            raise
        return str(error)
    return None


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
    tags = {name: sendable(value)[:MAX_TAG_LENGTH] for name, value in facts["tags"].items()}
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
    key = client.get_run(run_id).data.tags.get(KEY_TAG)
    if key is None:  # somebody removed it
        return
    for found in client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'"):
        if found.info.run_id != run_id:
            client.delete_run(found.info.run_id)


def restore_run(client: "MlflowClient", run_id: str) -> None:
    """Restore a run that was deleted while it was recorded, with its experiment; else do nothing.

    Args:
        client: a client whose own retries are off.
        run_id: MLflow's.
    """
    run = client.get_run(run_id).info
    if run.lifecycle_stage == "active":
        return
    experiment = client.get_experiment(run.experiment_id)
    if experiment.lifecycle_stage == "deleted":
        logger.warning(
            "MLflow experiment %r was deleted while a run of it is recorded; it is restored",
            experiment.name,
        )
        client.restore_experiment(run.experiment_id)  # with its runs
    else:
        logger.warning(
            "MLflow run %r was deleted while it is recorded; it is restored", run.run_name
        )
        client.restore_run(run_id)


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


def files_below(folder: Path, artifact_path: str = "") -> list[tuple[Path, str]]:
    """Return the files of a folder, and for each its own folder among the artifacts.

    A request for each of them is one that can be repeated by itself.

    Args:
        folder: what is sent.
        artifact_path: folder among the artifacts that all of it goes to; empty: their root.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    places = [Path(artifact_path) / path.parent.relative_to(folder) for path in files]
    return [
        (path, "" if place == Path() else place.as_posix())
        for path, place in zip(files, places, strict=True)
    ]


def sendable(value: object) -> str:
    """Return a text in which what no store takes is replaced."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


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

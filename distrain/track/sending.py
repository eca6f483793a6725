"""One journal's records as calls to MLflow, each of them safe to repeat.

MLflow stores an identical metric row, parameter, tag or dataset input once, however often it is
sent, and overwrites an artifact. A run it would create twice, so a run is searched by its key
first. What the store refuses for good is kept apart and counted, the rest goes on.

Text passes `sendable`: PostgreSQL takes no NUL, and nothing takes the half characters by which
Python stands for bytes of a file's name that are no UTF-8. MLflow answers 500 to the one and fails
on the other before it sends anything, so that either would be tried for ever.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, final

from distrain.track.journal_reading import JournalRecord
from distrain.track.new_points import Point
from distrain.track.rejected import Rejected
from distrain.track.tracking_server import TrackingServer

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run, RunTag

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
        self._send(_params(values), "params")

    def metrics(self, points: Sequence[Point]) -> None:
        """Send up to 1,000 points of metrics with the timestamps that they were recorded with."""
        self._send(_metrics(points), "metrics")

    def tags(self, values: Sequence[tuple[str, Any]]) -> None:
        """Send up to 100 tags; the last value of a tag stands."""
        self._send(_tags(values), "tags")

    def together(
        self,
        params: Sequence[tuple[str, Any]],
        points: Sequence[Point],
        tags: Sequence[tuple[str, Any]],
    ) -> None:
        """Send up to 1,000 things of all three kinds in one request.

        The store takes them in this order. One that it refuses makes it refuse the others behind,
        so each kind then goes by itself.

        Args:
            params: up to 100 of them.
            points: of metrics.
            tags: up to 100 of them.
        """
        from mlflow.exceptions import MlflowException

        given: dict[str, list[Any]] = {
            "params": _params(params),
            "metrics": _metrics(points),
            "tags": _tags(tags),
        }
        try:
            self._client.log_batch(self._run_id, **given, synchronous=True)
        except MlflowException as error:
            if not is_refusal(error):
                raise
            for kind, items in given.items():
                if items:
                    self._send(items, kind)

    def dataset(self, facts: Mapping[str, Any]) -> None:
        """Send one dataset input for each split; see `describe.dataset_facts`."""
        from distrain.track.datasets import dataset_inputs

        inputs = dataset_inputs(facts)
        request = partial(self._client.log_inputs, self._run_id, datasets=inputs)
        self._rejected.unless_refused(request, f"dataset {facts['name']}", is_refusal)

    def artifact(self, path: Path, artifact_path: str) -> None:
        """Send a file."""
        if not path.exists():
            self._rejected.add(f"artifact {path}", "the file is gone")
            return
        request = partial(self._client.log_artifact, self._run_id, str(path), artifact_path or None)
        self._rejected.unless_refused(
            request,
            f"artifact {path}",
            lambda error: is_refusal(error) or isinstance(error, PermissionError),
        )

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
            self._rejected.unless_refused(request, f"{kind} {items[0].key}", is_refusal)
            return
        try:
            request()
        except MlflowException as error:
            if not is_refusal(error):
                raise
            middle = len(items) // 2
            self._send(items[:middle], kind)
            self._send(items[middle:], kind)


def _params(values: Sequence[tuple[str, Any]]) -> "list[Param]":
    from mlflow.entities import Param

    return [Param(key, sendable(value)) for key, value in values]


def _metrics(points: Sequence[Point]) -> "list[Metric]":
    from mlflow.entities import Metric

    return [Metric(*point) for point in points]


def _tags(values: Sequence[tuple[str, Any]]) -> "list[RunTag]":
    from mlflow.entities import RunTag

    return [RunTag(key, sendable(value)[:MAX_TAG_LENGTH]) for key, value in values]


def find_or_create_run(
    client: "MlflowClient", server: TrackingServer, facts: Mapping[str, Any], start_ms: int
) -> tuple[str, str]:
    """Return the experiment and run ids of a run; makes what is not there yet.

    Of a run that is there, the tags are sent too: a search may have made it, for its trial.

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
        run_id: str = found[0].info.run_id
        for part in batches(_tags(list(facts["tags"].items())), MAX_OTHERS_PER_CALL):
            client.log_batch(run_id, tags=part, synchronous=True)
        return experiment_id, run_id
    tags = {name: sendable(value)[:MAX_TAG_LENGTH] for name, value in facts["tags"].items()}
    tags[KEY_TAG] = facts["key"]
    run = client.create_run(experiment_id, start_ms, tags, facts["name"])
    return experiment_id, run.info.run_id


def delete_doubles(client: "MlflowClient", experiment_id: str, run_id: str) -> None:
    """Delete other runs with a run's key that hold nothing.

    A server that answers after its client has given up makes a run that the client's next search
    does not find yet; nothing was ever sent to it. One that holds something is nobody's to delete.

    Args:
        client: a client whose own retries are off.
        experiment_id: MLflow's.
        run_id: of the run that stays.
    """
    key = client.get_run(run_id).data.tags.get(KEY_TAG)
    if key is None:  # somebody removed it
        return
    for found in client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'"):
        if found.info.run_id != run_id and holds_nothing(found):
            client.delete_run(found.info.run_id)


def holds_nothing(run: "Run") -> bool:
    """Return whether a run was made, and never sent anything."""
    return not (run.data.metrics or run.data.params)


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

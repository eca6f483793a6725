"""One journal's way to MLflow, a portion at a time; whoever calls repeats what fails.

    read a portion of what the journal holds behind the watermark
    make the run, if it is not there yet                       (by key)
    send parameters, datasets, metrics, tags                   (each request safe to repeat)
    move the watermark
    nothing left to read: send artifacts, register models, then send the final status

Artifacts and models come last and hold nothing up: they often go to another store, which may be
full or closed while the tracking server works.

So each record is sent at least once, and MLflow stores it once: timestamps come from the journal.
Where steps were computed again after a failure, the first value of a metric at a step stands; where
it may be another than the second, nothing is sent before a checkpoint covers it (see `covered.py`).
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from distrain.track.covered import Waiting, pass_on
from distrain.track.journal_reading import JournalRecord, list_segments, read_journal
from distrain.track.model_versions import RegisteredVersion
from distrain.track.registry import ModelFacts, register_version
from distrain.track.sending import (
    GOES_ON,
    MAX_METRICS_PER_CALL,
    MAX_OTHERS_PER_CALL,
    RunSender,
    batches,
    delete_doubles,
    find_or_create_run,
    is_refusal,
    new_metrics,
    of_kind,
)
from distrain.track.tracking_server import TrackingServer
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

REJECTED = "rejected.jsonl"
REJECTED_TAG = "distrain.tracking.rejected"
READ_BYTES = 1 << 20

logger = logging.getLogger(__name__)


@dataclass
class _Portion:
    """Requests that are under way, and where reading goes on after them."""

    requests: deque[Callable[[], None]]
    reached: dict[str, int]
    waiting: Waiting
    last_steps: dict[str, int]
    artifacts: list[tuple[str, str]]
    models: list[dict[str, Any]]
    final: tuple[str, int] | None


@final
class Delivery:
    """Sends one journal; for one thread, and one process at a time.

    Args:
        folder: the journal's folder.
        server: the tracking store.
    """

    def __init__(self, folder: Path, server: TrackingServer) -> None:
        self.mark = Watermark.load_for(folder, server.identity)
        self._folder = folder
        self._server = server
        self._reached = dict(self.mark.positions)
        self._waiting = Waiting()
        self._portion: _Portion | None = None
        self._has_begun_anew = False
        self._is_behind = False
        self._num_told = -1

    @property
    def is_behind(self) -> bool:
        """Whether more was there than one portion takes."""
        return self._is_behind

    @property
    def versions(self) -> dict[str, RegisteredVersion]:
        """The versions that were made, by the key of their model."""
        return {key: RegisteredVersion(*made) for key, made in self.mark.versions.items()}

    def note_store(self) -> None:
        """Write down which store this journal goes to, before any of it is there."""
        if self.mark.run_id is None:
            self.mark.save(self._folder)

    def send_next(self, client: "MlflowClient") -> bool:
        """Send one portion and return whether there may be more; after a failure, call it again.

        Args:
            client: one whose own retries are off.
        """
        if self._portion is None:
            self._portion = self._next_portion(client)
        if self._portion is not None:
            self._send_portion(self._portion)
            self._portion = None
            return True
        if self.mark.run_id is not None:
            try:
                self._send_artifacts(self._sender(client))
                self._register_models(client)
            finally:
                self._send_end(client)
        return False

    def recover(self, error: Exception) -> None:
        """Send the whole journal again, once, where the store was replaced by an empty one."""
        is_absence = getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"
        run_id = self.mark.run_id
        if self._has_begun_anew or not is_absence or run_id is None or run_id not in str(error):
            return
        self._has_begun_anew = True
        self.mark = Watermark(server=self._server.identity)
        self._reached, self._waiting, self._portion = {}, Waiting(), None

    def _next_portion(self, client: "MlflowClient") -> _Portion | None:
        read, reached = read_journal(self._folder, self._reached, max_bytes=READ_BYTES)
        num_bytes = sum(reached.values()) - sum(self._reached.values())
        self._is_behind = num_bytes >= READ_BYTES
        records, waiting = pass_on(read, self._waiting)
        if not read and not records:
            return None
        if self.mark.run_id is None and not self._make_run(client, records):
            raise LookupError("the journal does not begin with a record of its run")
        requests, last_steps = self._requests(self._sender(client), records)
        ends = [
            (r.payload["status"], r.payload.get("ended_ms", r.time_ms))
            for r in of_kind(records, "status")
        ]
        artifacts = [
            (r.payload["path"], r.payload["artifact_path"]) for r in of_kind(records, "artifact")
        ]
        models = models_to_register(records, self.mark.models)
        final = ends[-1] if ends else None
        return _Portion(requests, reached, waiting, last_steps, artifacts, models, final)

    def _send_portion(self, portion: _Portion) -> None:
        while portion.requests:
            portion.requests[0]()
            portion.requests.popleft()
        self._reached, self._waiting = portion.reached, portion.waiting
        self.mark.reached = portion.reached
        self.mark.positions = portion.waiting.to_reread(portion.reached)
        self.mark.last_steps = portion.last_steps
        self.mark.artifacts += portion.artifacts
        self.mark.models = portion.models
        self.mark.final = portion.final or self.mark.final
        self.mark.save(self._folder)

    def _requests(
        self, sender: RunSender, records: Sequence[JournalRecord]
    ) -> "tuple[deque[Callable[[], None]], dict[str, int]]":
        """Return the requests that a portion of records takes, in order."""
        todo: deque[Callable[[], None]] = deque()
        params = [item for r in of_kind(records, "params") for item in r.payload.items()]
        todo += [partial(sender.params, part) for part in batches(params, MAX_OTHERS_PER_CALL)]
        todo += [partial(sender.dataset, r.payload) for r in of_kind(records, "dataset")]
        rows, last_steps = new_metrics(records, self.mark.last_steps)
        todo += [partial(sender.metrics, part) for part in batches(rows, MAX_METRICS_PER_CALL)]
        for record in of_kind(records, "damaged"):
            self._reject(f"record at byte {record.payload['offset']}", record.payload["file"])
        tags = {key: value for r in of_kind(records, "tags") for key, value in r.payload.items()}
        parts = batches(list(tags.items()), MAX_OTHERS_PER_CALL)
        todo += [partial(sender.tags, part) for part in parts]
        todo.append(partial(self._tell_rejected, sender))
        return todo, last_steps

    def _make_run(self, client: "MlflowClient", records: Sequence[JournalRecord]) -> bool:
        for record in of_kind(records, "run"):
            ids = find_or_create_run(client, self._server, record.payload, record.time_ms)
            self.mark.experiment_id, self.mark.run_id = ids
            self.mark.save(self._folder)
            return True
        return False

    def _send_artifacts(self, sender: RunSender) -> None:
        num_rejected = self.mark.num_rejected
        while self.mark.artifacts:
            path, place = self.mark.artifacts[0]
            sender.artifact(self._place(path), place)
            if self.mark.num_rejected > num_rejected:
                self._tell_rejected(sender)
            del self.mark.artifacts[0]
            self.mark.save(self._folder)

    def _register_models(self, client: "MlflowClient") -> None:
        while self.mark.models:
            model = self.mark.models[0]
            try:
                version = self._register(client, model)
            except Exception as error:  # kept in the rejected file and counted, or raised again
                # Artifact stores raise errors of their own clients: requests, boto3, the disk's.
                if not (is_refusal(error) or isinstance(error, FileNotFoundError)):
                    raise
                self._reject(f"model {model['facts']['name']}", str(error))
                self._tell_rejected(self._sender(client))
            else:
                made = (version.name, version.version, version.alias)
                self.mark.versions[model["facts"]["key"]] = made
            del self.mark.models[0]
            self.mark.save(self._folder)

    def _register(self, client: "MlflowClient", model: dict[str, Any]) -> RegisteredVersion:
        assert self.mark.run_id is not None
        assert self.mark.experiment_id is not None
        facts = ModelFacts(
            **model["facts"], run_id=self.mark.run_id, experiment_id=self.mark.experiment_id
        )
        folder = self._place(model["path"])
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is gone")
        return register_version(
            client, self._server, folder, facts, alias=model["alias"], asked_ms=model["time_ms"]
        )

    def _send_end(self, client: "MlflowClient") -> None:
        if self.mark.final is None:
            return
        status, end_ms = self.mark.final
        self._sender(client).end(status, end_ms)
        if status != GOES_ON and self.mark.run_id and self.mark.experiment_id:
            delete_doubles(client, self.mark.experiment_id, self.mark.run_id)
        self.mark.final, self.mark.status = None, status
        self.mark.save(self._folder)

    def _place(self, path: str) -> Path:
        """Return where a recorded path is now: what was relative is below the run's folder."""
        return self._folder.parent / path

    def _tell_rejected(self, sender: RunSender) -> None:
        if self.mark.num_rejected and self.mark.num_rejected != self._num_told:
            sender.tags([(REJECTED_TAG, self.mark.num_rejected)])
            self._num_told = self.mark.num_rejected

    def _sender(self, client: "MlflowClient") -> RunSender:
        assert self.mark.run_id is not None
        return RunSender(client, self.mark.run_id, self._reject)

    def _reject(self, what: str, why: str) -> None:
        self.mark.num_rejected += 1
        logger.warning("the tracking server refuses %s: %s", what, why.strip().splitlines()[0])
        line = json.dumps({"what": what, "why": why, "time_ms": time.time_ns() // 1_000_000})
        with (self._folder / REJECTED).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def models_to_register(
    records: Sequence[JournalRecord], before: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the models that are to be registered after some records, in order.

    Args:
        records: the next ones of the journal; where the run goes on, what was packaged before is
            void, and may be overwritten at any time.
        before: those that were to be registered before them.
    """
    models = list(before)
    for record in records:
        if record.kind == "status" and record.payload["status"] == GOES_ON:
            models = []
        elif record.kind == "model":
            models.append({**record.payload, "time_ms": record.time_ms})
    return models


def has_unsent(folder: Path, mark: Watermark) -> bool:
    """Return whether a journal holds something that a store has not been sent.

    Args:
        folder: the journal's folder.
        mark: how far it was shipped there.
    """
    if mark.artifacts or mark.models or mark.final:
        return True
    return any(_has_line(path, mark.reached.get(path.name, 0)) for path in list_segments(folder))


def _has_line(segment: Path, start: int) -> bool:
    """Return whether a whole line begins at a byte: a torn end is nobody's to complete."""
    if segment.stat().st_size <= start:
        return False
    with segment.open("rb") as file:
        file.seek(start)
        return file.readline().endswith(b"\n")

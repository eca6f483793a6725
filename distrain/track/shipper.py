"""The journal's way to MLflow: a thread beside the training, which it never slows or fails.

    until told to stop, every half second:
        read what the journal holds behind the watermark
        make the run, if it is not there yet                       (by key)
        send parameters, datasets, metrics, tags, artifacts        (each safe to repeat)
        move the watermark
        nothing left to read: send the final status
        a failure: wait, longer each time, and begin again at the watermark

So each record is sent at least once, and MLflow stores it once: timestamps come from the journal.
Where steps were computed again after a failure, the first value of a metric at a step stands.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

from distrain.track.journal import JournalRecord, metric_values, read_journal
from distrain.track.sending import RunSender, find_or_create_run
from distrain.track.tracking_server import TrackingServer, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

WATERMARK = "shipped.json"
REJECTED = "rejected.jsonl"
REJECTED_TAG = "distrain.tracking.rejected"
POLL_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_PAUSE_WHILE_DRAINING_S = 2.0
READ_BYTES = 1 << 20

logger = logging.getLogger(__name__)


@final
@dataclass
class Watermark:
    """How far a journal has been shipped; lost, it is found again by shipping from the start.

    Attributes:
        run_id: MLflow's; None: the run does not exist there yet.
        experiment_id: MLflow's.
        positions: segment file name to the byte behind what was sent.
        last_steps: metric to the greatest step that was sent.
        final: the status to end with and its time, until it is sent.
        num_rejected: records that the store refused for good.
    """

    run_id: str | None = None
    experiment_id: str | None = None
    positions: dict[str, int] = field(default_factory=dict)
    last_steps: dict[str, int] = field(default_factory=dict)
    final: tuple[str, int] | None = None
    num_rejected: int = 0

    @staticmethod
    def load(folder: Path) -> "Watermark":
        """Return the watermark of a journal's folder; a fresh one where there is none."""
        try:
            return Watermark(**json.loads((folder / WATERMARK).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return Watermark()

    def save(self, folder: Path) -> None:
        """Write it into a journal's folder, whole or not at all."""
        unfinished = folder / f".{WATERMARK}.{os.getpid()}"
        unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
        unfinished.replace(folder / WATERMARK)


@final
class Shipper:
    """Ships one journal from a thread of its own. Call order: `start`, `drain`, `close`.

    Args:
        folder: the journal's folder; one shipper at a time.
        server: the tracking store.
        connect_to: makes the client; imports mlflow and creates a fresh database on the way.
    """

    def __init__(
        self,
        folder: Path,
        server: TrackingServer,
        *,
        connect_to: "Callable[[TrackingServer], MlflowClient]" = connect,
    ) -> None:
        self._folder = folder
        self._server = server
        self._connect = connect_to
        self._client: MlflowClient | None = None
        self._mark = Watermark.load(folder)
        self._state = threading.Condition()
        self._num_passes = 0
        self._last_clean_pass = 0
        self._num_failures = 0
        self._is_draining = False
        self._is_closed = False
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._work, name="distrain-shipper", daemon=True)

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None while the run does not exist there yet."""
        return self._mark.run_id

    @property
    def experiment_id(self) -> str | None:
        """MLflow's id of the experiment; None while the run does not exist there yet."""
        return self._mark.experiment_id

    @property
    def problem(self) -> str | None:
        """Why nothing gets through at the moment; None: nothing is wrong."""
        return self._problem

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait_for_run(self, timeout_s: float) -> str | None:
        """Return MLflow's id of the run, or None where it does not exist there in time."""
        with self._state:
            self._state.wait_for(lambda: self._mark.run_id is not None, timeout_s)
        return self._mark.run_id

    def drain(self, timeout_s: float) -> bool:
        """Return whether all that was recorded before this call is shipped.

        Args:
            timeout_s: seconds to wait for a tracking server that is away.
        """
        with self._state:
            wanted = self._num_passes + 1
            self._is_draining = True
            self._state.notify_all()
            done = self._state.wait_for(lambda: self._last_clean_pass >= wanted, timeout_s)
            self._is_draining = False
        return done

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop; what is not shipped stays in the journal."""
        with self._state:
            self._is_closed = True
            self._state.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while not self._is_closed:
            with self._state:
                self._num_passes += 1
            pause_s = self._one_pass()
            with self._state:
                if pause_s and not self._is_closed and not self._is_called_for(pause_s):
                    self._state.wait(pause_s)

    def _is_called_for(self, pause_s: float) -> bool:
        # A drain that began during the pass waits for a pass that starts after it.
        return self._is_draining and pause_s == POLL_S

    def _one_pass(self) -> float:
        """Ship what there is and return the seconds to wait before the next pass."""
        try:
            has_more = self._ship()
        except Exception as error:
            # Whatever goes wrong here must not touch the training: tell it once, and try again.
            return self._failed(error)
        self._recovered()
        if has_more:
            return 0.0
        with self._state:
            self._last_clean_pass = self._num_passes
            self._state.notify_all()
        return POLL_S

    def _ship(self) -> bool:
        """Ship one portion and return whether there may be more."""
        if self._client is None:
            self._client = self._connect(self._server)
        records, positions = read_journal(self._folder, self._mark.positions, max_bytes=READ_BYTES)
        if records:
            self._ship_records(self._client, records)
            self._mark.positions = positions
            self._mark.save(self._folder)
            return True
        if self._mark.final is not None and self._mark.run_id is not None:
            status, end_ms = self._mark.final
            self._sender(self._client).end(status, end_ms)
            self._mark.final = None
            self._mark.save(self._folder)
        return False

    def _ship_records(self, client: "MlflowClient", records: Sequence[JournalRecord]) -> None:
        if self._mark.run_id is None and not self._make_run(client, records):
            raise LookupError("the journal does not begin with a record of its run")
        sender = self._sender(client)
        for record in _of_kind(records, "params"):
            sender.params(record.payload)
        for record in _of_kind(records, "dataset"):
            sender.dataset(record.payload)
        metrics, last_steps = new_metrics(records, self._mark.last_steps)
        sender.metrics(metrics)
        for record in _of_kind(records, "artifact"):
            sender.artifact(Path(record.payload["path"]), record.payload["artifact_path"])
        for record in _of_kind(records, "damaged"):
            self._reject(f"record at byte {record.payload['offset']}", record.payload["file"])
        tags = {k: v for record in _of_kind(records, "tags") for k, v in record.payload.items()}
        if self._mark.num_rejected:
            tags[REJECTED_TAG] = str(self._mark.num_rejected)
        sender.tags(tags)
        for record in _of_kind(records, "status"):
            self._mark.final = (record.payload["status"], record.time_ms)
        self._mark.last_steps = last_steps

    def _make_run(self, client: "MlflowClient", records: Sequence[JournalRecord]) -> bool:
        for record in _of_kind(records, "run"):
            ids = find_or_create_run(client, self._server, record.payload, record.time_ms)
            with self._state:
                self._mark.experiment_id, self._mark.run_id = ids
                self._mark.save(self._folder)
                self._state.notify_all()
            return True
        return False

    def _sender(self, client: "MlflowClient") -> RunSender:
        assert self._mark.run_id is not None
        return RunSender(client, self._mark.run_id, self._reject)

    def _reject(self, what: str, why: str) -> None:
        self._mark.num_rejected += 1
        logger.warning("the tracking server refuses %s: %s", what, why.strip().splitlines()[0])
        line = json.dumps({"what": what, "why": why, "time_ms": time.time_ns() // 1_000_000})
        with (self._folder / REJECTED).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _failed(self, error: Exception) -> float:
        self._num_failures += 1
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if self._problem is None:
            logger.warning(
                "recording at %s fails (%s); training goes on, records are kept in %s and sent "
                "when it is back",
                self._server.shown,
                reason[:300],
                self._folder,
            )
        self._problem = reason
        longest = LONGEST_PAUSE_WHILE_DRAINING_S if self._is_draining else LONGEST_PAUSE_S
        return min(2.0 ** min(self._num_failures - 1, 10), longest)

    def _recovered(self) -> None:
        if self._problem is not None:
            logger.warning("recording at %s works again", self._server.shown)
        self._problem = None
        self._num_failures = 0


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
    for record in _of_kind(records, "metrics"):
        step = record.payload["step"]
        for key, value in metric_values(record).items():
            if step > reached.get(key, -1):
                reached[key] = step
                rows.append(Metric(key, value, record.time_ms, step))
    return rows, reached


def _of_kind(records: Sequence[JournalRecord], kind: str) -> list[JournalRecord]:
    return [record for record in records if record.kind == kind]

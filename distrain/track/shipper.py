"""The journal's way to MLflow: a thread beside the training, which it never slows or fails.

    until told to stop, every half second:
        read a portion of what the journal holds behind the watermark
        make the run, if it is not there yet                       (by key)
        send parameters, datasets, metrics, tags                   (each request safe to repeat)
        move the watermark
        nothing left to read: send artifacts, then the final status
        a failure: wait, longer each time, and go on with the request that failed

Artifacts come last and hold nothing up: they often go to another store, which may be full or
closed while the tracking server works.

So each record is sent at least once, and MLflow stores it once: timestamps come from the journal.
Where steps were computed again after a failure, the first value of a metric at a step stands.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, final

from distrain.errors import first_line
from distrain.track.journal import JournalRecord, read_journal
from distrain.track.sending import (
    MAX_METRICS_PER_CALL,
    MAX_OTHERS_PER_CALL,
    RunSender,
    batches,
    find_or_create_run,
    new_metrics,
    of_kind,
)
from distrain.track.tracking_server import TrackingServer, connect
from distrain.track.watermark import Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

REJECTED = "rejected.jsonl"
REJECTED_TAG = "distrain.tracking.rejected"
POLL_S = 0.5
LONGEST_PAUSE_S = 30.0
LONGEST_PAUSE_WHILE_DRAINING_S = 2.0
READ_BYTES = 1 << 20

logger = logging.getLogger(__name__)


@dataclass
class _Portion:
    """Requests that are under way, and the watermark behind them."""

    requests: deque[Callable[[], None]]
    positions: dict[str, int]
    last_steps: dict[str, int]
    artifacts: list[tuple[str, str]]
    final: tuple[str, int] | None


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
        self._mark = Watermark.load_for(folder, server.shown)
        self._portion: _Portion | None = None
        self._state = threading.Condition()
        self._num_passes = 0
        self._last_clean_pass = 0
        self._num_failures = 0
        self._has_begun_anew = False
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
            if self._is_run_missing(error):
                self._begin_anew()
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
        if self._portion is None:
            self._portion = self._next_portion(self._client)
        if self._portion is not None:
            self._send_portion(self._portion)
            self._portion = None
            return True
        if self._mark.run_id is not None:
            try:
                self._send_artifacts(self._sender(self._client))
            finally:
                self._send_end(self._sender(self._client))
        return False

    def _send_artifacts(self, sender: RunSender) -> None:
        num_rejected = self._mark.num_rejected
        while self._mark.artifacts:
            path, place = self._mark.artifacts[0]
            sender.artifact(Path(path), place)
            if self._mark.num_rejected > num_rejected:
                self._tell_rejected(sender)
            del self._mark.artifacts[0]
            self._mark.save(self._folder)

    def _send_end(self, sender: RunSender) -> None:
        if self._mark.final is not None:
            sender.end(*self._mark.final)
            self._mark.final = None
            self._mark.save(self._folder)

    def _next_portion(self, client: "MlflowClient") -> "_Portion | None":
        records, positions = read_journal(self._folder, self._mark.positions, max_bytes=READ_BYTES)
        if not records:
            return None
        if self._mark.run_id is None and not self._make_run(client, records):
            raise LookupError("the journal does not begin with a record of its run")
        requests, last_steps = self._requests(self._sender(client), records)
        ends = [(r.payload["status"], r.time_ms) for r in of_kind(records, "status")]
        artifacts = [
            (r.payload["path"], r.payload["artifact_path"]) for r in of_kind(records, "artifact")
        ]
        return _Portion(requests, positions, last_steps, artifacts, ends[-1] if ends else None)

    def _send_portion(self, portion: "_Portion") -> None:
        while portion.requests:
            portion.requests[0]()
            portion.requests.popleft()
        self._mark.positions = portion.positions
        self._mark.last_steps = portion.last_steps
        self._mark.artifacts += portion.artifacts
        self._mark.final = portion.final or self._mark.final
        self._mark.save(self._folder)

    def _requests(
        self, sender: RunSender, records: Sequence[JournalRecord]
    ) -> "tuple[deque[Callable[[], None]], dict[str, int]]":
        """Return the requests that a portion of records takes, in order."""
        todo: deque[Callable[[], None]] = deque()
        params = [item for r in of_kind(records, "params") for item in r.payload.items()]
        todo += [partial(sender.params, part) for part in batches(params, MAX_OTHERS_PER_CALL)]
        todo += [partial(sender.dataset, r.payload) for r in of_kind(records, "dataset")]
        rows, last_steps = new_metrics(records, self._mark.last_steps)
        todo += [partial(sender.metrics, part) for part in batches(rows, MAX_METRICS_PER_CALL)]
        for record in of_kind(records, "damaged"):
            self._reject(f"record at byte {record.payload['offset']}", record.payload["file"])
        tags = {key: value for r in of_kind(records, "tags") for key, value in r.payload.items()}
        parts = batches(list(tags.items()), MAX_OTHERS_PER_CALL)
        todo += [partial(sender.tags, part) for part in parts]
        todo.append(partial(self._tell_rejected, sender))
        return todo, last_steps

    def _tell_rejected(self, sender: RunSender) -> None:
        if self._mark.num_rejected:
            sender.tags([(REJECTED_TAG, self._mark.num_rejected)])

    def _make_run(self, client: "MlflowClient", records: Sequence[JournalRecord]) -> bool:
        for record in of_kind(records, "run"):
            ids = find_or_create_run(client, self._server, record.payload, record.time_ms)
            self._mark.experiment_id, self._mark.run_id = ids
            self._mark.save(self._folder)
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

    def _is_run_missing(self, error: Exception) -> bool:
        is_absence = getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"
        return is_absence and self._mark.run_id is not None and self._mark.run_id in str(error)

    def _begin_anew(self) -> None:
        """Send the whole journal again, once: the store has been replaced by an empty one."""
        if self._has_begun_anew:
            return
        self._has_begun_anew = True
        self._mark = Watermark(server=self._server.shown)
        self._portion = None

    def _failed(self, error: Exception) -> float:
        self._num_failures += 1
        reason = first_line(error)
        if self._problem is None:
            logger.warning(
                "recording at %s fails (%s); training goes on, records are kept in %s and sent "
                "when it is back",
                self._server.shown,
                reason,
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

"""One journal's way to MLflow, a portion at a time; whoever calls repeats what fails.

    read a portion of what the journal holds behind the watermark
    make the run, if it is not there yet                       (by key)
    send parameters, datasets, metrics, tags                   (each request safe to repeat)
    of a search: make its trials' runs, send what is theirs    (the same; `children.py`)
    send the description, which links to them
    move the watermark
    all that was there is read: send artifacts, register models, send the status  (`closing.py`)
    asked for: tell a trial's run what it was trained on

So each record is sent at least once, and MLflow stores it once: timestamps come from the journal.
Where steps were computed again after a failure, the first value of a metric at a step stands; where
it may be another than the second, nothing is sent before a checkpoint covers it (see `covered.py`).

What a journal has lost, because a line of it was altered or is missing, or a segment was cut, is
told, and the rest is sent; altered lines are counted. A run or an experiment that was deleted
meanwhile is restored by who records in it (see `deleted.py`). A store that was put back to an older
state lacks what it was sent since; without its `shipped.json`, all of a journal is sent again.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from distrain.object_store.link import link_of
from distrain.track.arrived import Arrived
from distrain.track.children import Children
from distrain.track.closing import Closing, models_to_register
from distrain.track.covered import Waiting, pass_on
from distrain.track.deleted import restore_run
from distrain.track.experiment_page import lay_out
from distrain.track.first_record import first_facts
from distrain.track.journal_reading import (
    Hidden,
    JournalRecord,
    read_journal,
)
from distrain.track.links import NOTE_TAG, Pages, with_links
from distrain.track.model_versions import RegisteredVersion
from distrain.track.new_points import Point, Sent, new_points
from distrain.track.rejected import Rejected
from distrain.track.sending import (
    MAX_METRICS_PER_CALL,
    MAX_OTHERS_PER_CALL,
    RunSender,
    batches,
    find_or_create_run,
    of_kind,
)
from distrain.track.tracking_server import TrackingServer
from distrain.track.trials import SentTrial
from distrain.track.unsent import losses_of
from distrain.track.watermark import SAVE_EVERY_S, Watermark

if TYPE_CHECKING:
    from mlflow import MlflowClient

READ_BYTES = 1 << 20

logger = logging.getLogger(__name__)


@dataclass
class _Portion:
    """Requests that are under way, and where reading goes on after them."""

    requests: deque[Callable[[], None]]
    reached: dict[str, int]
    waiting: Waiting
    sent: Sent
    artifacts: list[tuple[str, str]]
    models: list[dict[str, Any]]
    final: tuple[str, int] | None
    trials: dict[int, SentTrial]


@final
class Delivery:
    """Sends one journal; for one thread, and one process at a time.

    Args:
        folder: the journal's folder.
        server: the tracking store.
        check: asked before the watermark is written; raises where that is another's by now.
        may_restore: whether the run is restored where it was deleted.
    """

    def __init__(
        self,
        folder: Path,
        server: TrackingServer,
        check: Callable[[], None] = lambda: None,
        *,
        may_restore: bool = True,
    ) -> None:
        self.mark = Watermark.load_for(folder, server.identity)
        if may_restore and self.mark.left_deleted:
            self.mark = self.mark.anew()
        self._may_restore = may_restore
        self._is_taken_up = may_restore and self.mark.is_deleted
        self.damages: list[str] = []
        self._folder = folder
        self._link = link_of(folder.parent)
        self._server = server
        self._check = check
        self._reached = dict(self.mark.positions)
        self._arrived = Arrived(is_unsure=self.mark.run_id is not None)
        self._hidden = Hidden()
        self._waiting = Waiting()
        self._portion: _Portion | None = None
        self._children = Children(folder, self.mark, partial(first_facts, self._folder))
        self._has_begun_anew = False
        self._is_behind = False
        self._saved_s = time.monotonic()

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
        if self.mark.run_id is None or self._is_taken_up:
            self.mark.is_deleted = self._is_taken_up = False
            self._save()

    def note_losses(self) -> None:
        """Tell what is lost without a trace; for a journal that nobody writes to any more."""
        for loss in losses_of(self._folder, self.mark):
            self.damages.append(loss)
            logger.warning("%s", loss)

    def send_next(self, client: "MlflowClient") -> bool:
        """Send one portion and return whether there may be more; after a failure, call it again.

        Args:
            client: one whose own retries are off.
        """
        if self._portion is None:
            self._portion = self._next_portion(client)
        has_sent = self._portion is not None
        if self._portion is not None:
            self._send_portion(self._portion)
        # Not only where nothing was there: while a run trains, there always is something.
        if self.mark.run_id is not None and not self._is_behind:
            self._close(client)
        return has_sent

    def tell_data(self, client: "MlflowClient") -> bool:
        """Tell one trial's run what it was trained on; return whether one was not told yet.

        MLflow keeps it once, however often it is told: of what was told since the last save, a
        shipper that is killed leaves the next one to tell it again.

        Args:
            client: one whose own retries are off.
        """
        waiting = self.mark.without_data
        if not waiting:
            return False
        self._children.tell_data(client, waiting[0])
        if not waiting or time.monotonic() - self._saved_s > SAVE_EVERY_S:
            self._save()
        return True

    def recover(self, client: "MlflowClient | None", error: Exception) -> bool:
        """Put right what a request failed for, where that can be done.

        Send the whole journal again, once, where the store was replaced by an empty one; restore
        the run, and its experiment, where they were deleted and this command may. Where it may not,
        pass over a trial's run that was deleted: the others' news are not to wait for it.

        Args:
            client: one whose own retries are off; None: there was none yet.
            error: what the request failed with.

        Returns:
            Whether something was put right, so that the request may be made again at once.
        """
        run_id = self.mark.run_id
        if client is None or run_id is None:
            return False
        code = getattr(error, "error_code", None)
        if code == "RESOURCE_DOES_NOT_EXIST" and not self._has_begun_anew:
            gone = (run_id, f"id={self.mark.experiment_id} ")
            if any(what in str(error) for what in gone) or self._children.is_lost(error):
                self._has_begun_anew = True
                self.mark = Watermark(server=self._server.identity)
                self._reached, self._waiting, self._portion = {}, Waiting(), None
                self._arrived = Arrived(is_unsure=False)
                self._children = Children(
                    self._folder, self.mark, partial(first_facts, self._folder)
                )
                return True
        elif code in ("INVALID_PARAMETER_VALUE", "INVALID_STATE"):
            if self._may_restore:
                is_back = restore_run(client, run_id)
                return self._children.restore(client) or is_back
            if self._children.leave_deleted(client):
                self._save()
                return True
        return False

    def _next_portion(self, client: "MlflowClient") -> _Portion | None:
        read, reached = read_journal(
            self._folder,
            self._reached,
            max_bytes=READ_BYTES,
            hidden=self._hidden,
            # What the store lacks may be lost with this host, and then nobody knows it was sent.
            limits=None if self._link is None else dict(self._link.durable),
        )
        num_bytes = sum(reached.values()) - sum(self._reached.values())
        self._is_behind = num_bytes >= READ_BYTES
        records, waiting = pass_on(read, self._waiting)
        if not read and not records:
            return None
        if self.mark.run_id is None:
            self._make_run(client, records)
        requests, sent = self._requests(client, records)
        of_trials, trials = self._children.requests(client, records)
        requests += of_trials
        requests += self._notes(client, records)  # which name the trials' runs
        ends = [
            (r.payload["status"], r.payload.get("ended_ms", r.time_ms))
            for r in of_kind(records, "status")
        ]
        artifacts = [
            (r.payload["path"], r.payload["artifact_path"]) for r in of_kind(records, "artifact")
        ]
        models = models_to_register(records, self.mark.models)
        final = ends[-1] if ends else None
        return _Portion(requests, reached, waiting, sent, artifacts, models, final, trials)

    def _send_portion(self, portion: _Portion) -> None:
        while portion.requests:
            try:
                portion.requests[0]()
            except Exception:  # goes through: whatever it was, the request may have arrived
                self._arrived.doubt()
                raise
            portion.requests.popleft()
        self._portion = None  # though the watermark may not be saved, for lack of room
        self._reached, self._waiting = portion.reached, portion.waiting
        self.mark.reached = portion.reached
        self.mark.positions = portion.waiting.to_reread(portion.reached)
        self.mark.sent = portion.sent
        self.mark.artifacts += portion.artifacts
        self.mark.models = portion.models
        self.mark.trials = portion.trials
        self.mark.final = portion.final or self.mark.final
        self._save()

    def _requests(
        self, client: "MlflowClient", records: Sequence[JournalRecord]
    ) -> "tuple[deque[Callable[[], None]], Sent]":
        """Return the requests that a portion of records takes, in order."""
        sender, rejected = self._sender(client), self._rejected(client)
        todo: deque[Callable[[], None]] = deque()
        todo += [partial(self._lay_out, client, r) for r in of_kind(records, "run")]
        params = [item for r in of_kind(records, "params") for item in r.payload.items()]
        todo += [partial(sender.params, part) for part in batches(params, MAX_OTHERS_PER_CALL)]
        todo += [partial(sender.dataset, r.payload) for r in of_kind(records, "dataset")]
        points, sent = new_points(records, self.mark.sent, self._folder)
        is_growing = self.mark.sent.since is None and sent.since is None  # else steps lie between
        send = partial(self._send_points, client, sender) if is_growing else sender.metrics
        todo += [partial(send, part) for part in batches(points, MAX_METRICS_PER_CALL)]
        damaged = of_kind(records, "damaged")
        todo += [partial(self._reject_damaged, rejected, r.payload) for r in damaged]
        tags = [item for item in _tags_of(records).items() if item[0] != NOTE_TAG]
        parts = batches(tags, MAX_OTHERS_PER_CALL)
        todo += [partial(sender.tags, part) for part in parts]
        return todo, sent

    def _notes(
        self, client: "MlflowClient", records: Sequence[JournalRecord]
    ) -> list[Callable[[], None]]:
        note = _tags_of(records).get(NOTE_TAG)
        return [] if note is None else [partial(self._send_note, client, note)]

    def _send_note(self, client: "MlflowClient", note: str) -> None:
        """Send what the run's page says of it, with links to what has ids by now."""
        mark = self.mark
        assert mark.run_id is not None
        assert mark.experiment_id is not None
        key = first_facts(self._folder)["key"]
        pages = Pages(mark.experiment_id, mark.run_id, key, mark.child_ids)
        self._sender(client).tags([(NOTE_TAG, with_links(note, pages))])

    def _lay_out(self, client: "MlflowClient", record: JournalRecord) -> None:
        assert self.mark.experiment_id is not None
        lay_out(client, self.mark.experiment_id, record.payload, record.time_ms)

    def _send_points(
        self, client: "MlflowClient", sender: RunSender, points: Sequence[Point]
    ) -> None:
        assert self.mark.run_id is not None
        if not self._arrived.has(client, self.mark.run_id, points):
            sender.metrics(points)
            self._arrived.settle()

    def _make_run(self, client: "MlflowClient", records: Sequence[JournalRecord]) -> None:
        """Make or find the run; where its record is lost, from the names of its folders."""
        found = of_kind(records, "run")
        facts = found[0].payload if found else first_facts(self._folder)
        began_ms = min((r.time_ms for r in records if r.time_ms), default=time.time_ns() // 10**6)
        ids = find_or_create_run(client, self._server, facts, began_ms)
        self.mark.experiment_id, self.mark.run_id = ids
        self._save()

    def _close(self, client: "MlflowClient") -> None:
        sender, rejected = self._sender(client), self._rejected(client)
        parts = (sender, self.mark, self._save, rejected, self._children)
        Closing(self._folder, self._server, client, *parts).send()

    def _save(self) -> None:
        self._check()
        self.mark.save(self._folder)
        self._saved_s = time.monotonic()

    def _sender(self, client: "MlflowClient") -> RunSender:
        assert self.mark.run_id is not None
        return RunSender(client, self.mark.run_id, self._rejected(client))

    def _rejected(self, client: "MlflowClient") -> Rejected:
        return Rejected(self._folder, self.mark, client)

    def _reject_damaged(self, rejected: Rejected, place: Mapping[str, Any]) -> None:
        segment, offset = place["file"], place["offset"]
        if offset >= self.mark.reached.get(segment, 0):  # else it was counted before
            rejected.add(f"record at byte {offset} of {segment}", "it is damaged")
            self.damages.append(f"{self._folder / segment} is damaged at byte {offset}")


def _tags_of(records: Sequence[JournalRecord]) -> dict[str, str]:
    """Return the tags that some records tell of; the last value of a tag stands."""
    return {key: value for r in of_kind(records, "tags") for key, value in r.payload.items()}

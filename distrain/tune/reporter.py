"""What an actor tells the driver of its trial, and is answered.

A report waits until the driver has taken it: what it decides is known before the next step. Its
answers are files in the slot's folder, each of which is looked for once, so that no network file
system has an older state of it.
"""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, final

from distrain.track.journal_reading import JournalRecord
from distrain.train.job import Answer
from distrain.train.speed import Speed
from distrain.tune.host import Here

REPLY: Final = "reply-{number}.json"
"""Below a slot's folder: what the driver answers to a result, where that is not to go on."""
_NOT_REPORTED: Final = ("time/", "system/")


@final
class ClosedError(BaseException):
    """There is no work for the slot any more."""


@final
class Channel:
    """What an actor tells the driver, and is answered.

    Args:
        folder: the slot's, where the driver leaves what it answers beside "go on".
        here: where this process works; of another host than the driver's, answers are fetched.
    """

    def __init__(self, folder: Path, here: Here) -> None:
        self._folder = folder
        self.here = here
        self._num_told = 0

    def tell(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Wait until the driver has taken a result, and return what it answers.

        Raises:
            ClosedError: there is no work for the slot any more.
        """
        from ray import tune

        self._num_told += 1
        try:
            # Tune takes mappings within a result apart, and no lists.
            tune.report({"told": [kind, fields, self.here.is_apart]})
        except SystemExit:  # how Tune ends the thread of a function that it stops
            raise ClosedError from None
        text = self.here.read_reply(self._folder, REPLY.format(number=self._num_told))
        if text is None:
            return {"reply": "go_on"}
        answer: dict[str, Any] = json.loads(text)
        return answer


@final
class Reporter:
    """The journal of a trial: keeps what is measured until it is reported.

    Args:
        common: as in `trial.run_slot`.
        work: as there.
        channel: to the driver.
        started: when the trial's function began, by `time.perf_counter`.
        speed: of the actor, over all its trials.
    """

    def __init__(
        self,
        common: Mapping[str, Any],
        work: Mapping[str, Any],
        channel: Channel,
        started: float,
        speed: Speed,
    ) -> None:
        self.next_work: dict[str, Any] | None = None
        self._is_by_epoch = common["by_epoch"]
        self._until = work["until"]
        self._channel = channel
        self._started = started
        self._speed = speed
        self._last = 0
        self._values: dict[str, float] = {}

    def ask(self, step: int, epoch: int, is_end: bool) -> Answer:
        """Report an evaluation, the last one where `is_end`; return what becomes of the trial.

        Where it is stopped, `next_work` is the slot's; None: there is none.
        """
        now = epoch if self._is_by_epoch else step
        if now <= self._last:  # within an epoch
            return "go_on"
        self._last = now
        report = {
            "time": now,
            "epoch": epoch,
            "step": step,
            "values": self._values,
            "train_s": time.perf_counter() - self._started,
            "is_end": is_end,
        }
        self._values = {}
        try:
            answer = self._channel.tell("report", report)
        except ClosedError:  # not raised here: the trial's other workers have to know
            return "stop"
        if answer["reply"] == "stop":
            self.next_work = answer["work"]
            return "stop"
        if answer["reply"] == "end":
            return "end"
        is_due = self._until is not None and now >= self._until
        return "pause" if is_due or answer["reply"] == "pause" else "go_on"

    def metrics(self, _step: int, values: Mapping[str, float]) -> None:
        """Keep what was measured for the next report."""
        self._values |= {k: v for k, v in values.items() if not k.startswith(_NOT_REPORTED)}

    def earlier(self, _step: int) -> Iterable[JournalRecord]:
        """Give nothing: the driver compares what is measured again."""
        return ()

    def start(self, step: int, *, is_exact: bool, every_steps: int) -> None:
        """Do nothing: the driver knows what it gave away."""

    def checkpoint(self, step: int) -> None:
        """Do nothing: the checkpoint itself is what counts."""

    def progress(self, values: Mapping[str, Any]) -> None:
        """Take in how fast it is; what is shown of a trial is what it reports."""
        self._speed.take(values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Put them into the trial's log."""
        print(dict(values), file=sys.stderr)  # noqa: T201

    def note(self, text: str) -> None:
        """Put it into the trial's log."""
        print(text, file=sys.stderr)  # noqa: T201

    def trouble(self, values: Mapping[str, Any]) -> None:
        """Put it into the trial's log."""
        print(dict(values), file=sys.stderr)  # noqa: T201

    def assessment(self, split: str, counts: Mapping[str, Any]) -> None:
        """Do nothing: a trial leaves the test split alone."""

    def sync(self) -> None:
        """Do nothing: a report is durable before the trial goes on."""

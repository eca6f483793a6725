"""What a search's events say of its trials to a tracking store. Pure.

A search records its events in the journal of its run, as a writer of its own. To the store go:

    suggested    the parameters of a trial, which is to begin; where they may change in the course
                 of it, as tags, since MLflow takes a parameter once and for all
    started      that one goes on which was killed
    reported     its metrics at a step
    decided      why it is stopped, or from whom it takes over
    ended        how it ended; of what may have changed, the parameters

A search that goes on reports some steps of a trial again: the first value of a metric at a step
stands. Of a trial that has ended, no more is kept than its last step: one that was killed goes on.

What comes after a search, the audit of stopped trials and the winner's other seeds, is told in the
same events, under numbers that no trial of the search has; each is a run of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from distrain.track.describe import assignment_params
from distrain.track.journal_reading import JournalRecord
from distrain.track.new_points import Point
from distrain.track.origin import SETTING_TAG
from distrain.track.outcome import OUTCOME, STOP_REASON, STOP_STEP, recorded_failure_tags

SUGGESTED: Final = "distrain.suggested."
"""Begins tags: what a trial was suggested with, where that may change."""
TOOK_OVER: Final = "distrain.took_over."
"""Begins tags, one for each rung: from whom a trial took over, and what it changed."""
SEARCH: Final = "search"
"""The writer of a search's events, and their kind."""
AUDITS_FROM: Final = 1_000_000
"""An audited trial goes on, in the log, under its number and this."""
CONFIRMS_FROM: Final = 2_000_000
MAX_CONFIRMING: Final = 1_000
"""The winner's other seeds have numbers from its own times this on, behind CONFIRMS_FROM."""
CUT_OFF: Final = "killed"
"""The outcome of a trial whose search has ended and tells no end of it."""

_GOES_ON = "RUNNING"
_STATUS = {
    "finished": "FINISHED",
    "stopped_early": "FINISHED",
    "stopped": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
    "interrupted": "KILLED",
}
_MAY_GO_ON = ("killed", "interrupted")


@final
@dataclass(frozen=True)
class SentTrial:
    """What is known of a trial after all that was sent of it.

    Attributes:
        outcome: how it ended; empty: it has not.
        ended_step: its last step when it ended; -1: it never did.
        last_steps: metric to the greatest step, since it began or went on.
    """

    outcome: str = ""
    ended_step: int = -1
    last_steps: dict[str, int] = field(default_factory=dict)

    @property
    def last_step(self) -> int:
        """Return the last step that it told of; 0 where it told of none."""
        return max([0, self.ended_step, *self.last_steps.values()])


@final
@dataclass
class TrialNews:
    """What is to be sent of a trial.

    Attributes:
        trial: its number.
        began_ms: when it was suggested, in milliseconds since 1970; of one that began in an earlier
            portion of the journal, when the first of this was recorded.
        params: dotted name to value.
        points: of metrics, in order.
        tags: the last value of each.
        status: MLflow's word and its time; None: it stays as it is.
    """

    trial: int
    began_ms: int
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    status: tuple[str, int] | None = None


def confirming_trial(winner: int, place: int) -> int:
    """Return the number of a run of a winner's configuration with another seed.

    Args:
        winner: the winner's number.
        place: which of the other seeds, from 0.
    """
    return CONFIRMS_FROM + MAX_CONFIRMING * winner + place


def label(number: int) -> str:
    """Return what a trial's run and its key are called, behind the name of the search."""
    kind, trial, place = kind_of(number)
    behind = {"trial": "", "audit": "-audit", "confirm": f"-confirm-{place + 1}"}
    return f"{trial:04d}{behind[kind]}"


def kind_of(number: int) -> tuple[str, int, int]:
    """Return what stands behind a number in the events.

    Returns:
        `trial`, `audit` or `confirm`; the number of the trial itself, of the stopped one, or of the
        winner; and which of the other seeds, from 0.
    """
    if number >= CONFIRMS_FROM:
        return "confirm", *divmod(number - CONFIRMS_FROM, MAX_CONFIRMING)
    return ("audit", number - AUDITS_FROM, 0) if number >= AUDITS_FROM else ("trial", number, 0)


def trial_news(
    records: Sequence[JournalRecord], sent: Mapping[int, SentTrial]
) -> tuple[list[TrialNews], dict[int, SentTrial]]:
    """Return what is to be sent of the trials that some records tell of, and what is known after.

    Args:
        records: the next ones of the journal, of all kinds.
        sent: trial to what was known before them.
    """
    told: dict[int, _Account] = {}
    for record in records:
        if record.kind != SEARCH or not _is_told(record.payload):
            continue
        trial = int(record.payload["trial"])
        if record.payload["event"] == "started" and trial not in told and not _is_cut(trial, sent):
            continue
        if trial not in told:
            told[trial] = _Account(trial, record.time_ms, sent.get(trial, SentTrial()))
        told[trial].add(record)
    after = {trial: account.sent for trial, account in told.items()}
    return [account.news for account in told.values()], {**sent, **after}


def cut_off(trial: int, sent: SentTrial, end_ms: int) -> TrialNews:
    """Return what is to be sent of a trial whose search has ended and tells no end of it.

    Args:
        trial: its number.
        sent: what is known of it.
        end_ms: when the search ended, in milliseconds since 1970.
    """
    tags = {OUTCOME: CUT_OFF, STOP_STEP: str(sent.last_step)}
    return TrialNews(trial, end_ms, tags=tags, status=(_STATUS[CUT_OFF], end_ms))


def _is_told(payload: Mapping[str, Any]) -> bool:
    if payload["event"] == "decided":
        return payload["action"] in ("stop", "copy")
    return payload["event"] in ("suggested", "started", "reported", "ended")


def _is_cut(trial: int, sent: Mapping[int, SentTrial]) -> bool:
    """Return whether a trial was ended that may go on."""
    return trial in sent and sent[trial].outcome in _MAY_GO_ON


@final
class _Account:
    """One trial, record by record.

    Args:
        trial: its number.
        began_ms: when the first of the records was written.
        before: what was known before it.
    """

    def __init__(self, trial: int, began_ms: int, before: SentTrial) -> None:
        self.news = TrialNews(trial, began_ms)
        self._outcome = before.outcome
        self._ended_step = before.ended_step
        self._last_steps = dict(before.last_steps)

    @property
    def sent(self) -> SentTrial:
        """What is known of the trial after the records."""
        return SentTrial(self._outcome, self._ended_step, self._last_steps)

    def add(self, record: JournalRecord) -> None:
        """Take in the next record of the trial."""
        payload = record.payload
        if payload["event"] == "suggested":
            self._suggest(payload)
            if "setting" in payload:
                self.news.tags[SETTING_TAG] = str(payload["setting"])
        elif payload["event"] == "started":
            self._go_on(record.time_ms)
        elif payload["event"] == "reported":
            self._go_on(record.time_ms)
            self._add_points(record, payload["values"])
        elif payload["event"] == "ended":
            self._end(record)
        elif payload["action"] == "copy":
            self.news.tags[f"{TOOK_OVER}{payload['rung']}"] = payload["text"]
        else:
            self.news.tags[STOP_REASON] = payload["text"]

    def _suggest(self, payload: Mapping[str, Any]) -> None:
        params = assignment_params(payload["assignment"])
        if payload.get("may_change"):
            self.news.tags |= {f"{SUGGESTED}{key}": value for key, value in params.items()}
        else:
            self.news.params |= params

    def _go_on(self, time_ms: int) -> None:
        """Take back the end of a trial that was killed, and begins or reports again."""
        if self._outcome in _MAY_GO_ON:
            self.news.tags |= {OUTCOME: "running", STOP_STEP: "none"}
            self.news.status = (_GOES_ON, time_ms)
            self._outcome = ""

    def _end(self, record: JournalRecord) -> None:
        payload, finals = record.payload, record.payload["metrics"] or {}
        # What was reported stands, at its own steps.
        unreported = {k: v for k, v in finals.items() if k not in self._last_steps}
        self._add_points(record, unreported)
        outcome, step = payload["outcome"], int(payload["step"] or 0)
        self.news.tags[OUTCOME] = outcome
        if outcome != "finished":
            self.news.tags[STOP_STEP] = str(step)
        elif self._outcome in _MAY_GO_ON:
            self.news.tags[STOP_STEP] = "none"
        self.news.params |= assignment_params(payload.get("assignment") or {})
        if payload["error"]:
            self.news.tags |= recorded_failure_tags(payload["error"])
        self.news.status = (_STATUS[outcome], record.time_ms)
        self._ended_step = max(step, self.sent.last_step)
        self._outcome, self._last_steps = outcome, {}

    def _add_points(self, record: JournalRecord, values: Mapping[str, Any]) -> None:
        step = int(record.payload["step"] or 0)
        for key, value in values.items():
            last = self._last_steps.get(key, self._ended_step)
            if value is not None and step > last:
                self._last_steps[key] = step
                self.news.points.append((key, float(value), record.time_ms, step))

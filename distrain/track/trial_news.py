"""What a search's events say of its trials to a tracking store. Pure.

A search records its events in the journal of its run, as a writer of its own. To the store go:

    suggested    the parameters of a trial, which is to begin; where they may change in the course
                 of it, as tags, since MLflow takes a parameter once and for all
    started      that one goes on which was killed
    reported     its metrics at a step
    decided      why it is stopped, or ends early, or from whom it takes over
    ended        how it ended, what it came to and cost; of what may have changed, the parameters
    won          that its run is drawn in gold

A search that goes on reports some steps of a trial again: the first value of a metric at a step
stands. Of a trial that has ended, no more is kept than its last step: one that was killed goes on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from distrain.track.describe import assignment_params
from distrain.track.journal_reading import JournalRecord
from distrain.track.layout import (
    COLOR_TAG,
    COLORS,
    PLAIN_COLOR,
    SCORE,
    WON_COLOR,
    SearchLayout,
    words_of_end,
)
from distrain.track.new_points import Point
from distrain.track.origin import SETTING_TAG
from distrain.track.outcome import OUTCOME, STOP_REASON, STOP_STEP, VOID, recorded_failure_tags
from distrain.track.trials import CUT_OFF, SEARCH, SentTrial

SUGGESTED: Final = "distrain.suggested."
"""Begins tags: what a trial was suggested with, where that may change."""
TOOK_OVER: Final = "distrain.took_over."
"""Begins tags, one for each rung: from whom a trial took over, and what it changed."""

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
_WHOLE = ("finished", "stopped_early")
_TOLD_VERDICTS = ("stop", "finish", "copy")


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


def trial_news(
    records: Sequence[JournalRecord],
    sent: Mapping[int, SentTrial],
    layout: SearchLayout | None = None,
) -> tuple[list[TrialNews], dict[int, SentTrial]]:
    """Return what is to be sent of the trials that some records tell of, and what is known after.

    Args:
        records: the next ones of the journal, of all kinds.
        sent: trial to what was known before them.
        layout: the search's; None: a journal of an earlier version does not tell.
    """
    told: dict[int, _Account] = {}

    def account(number: int, time_ms: int) -> _Account:
        if number not in told:
            told[number] = _Account(number, time_ms, sent.get(number, SentTrial()), layout)
        return told[number]

    for record in records:
        if record.kind != SEARCH or not _is_told(record.payload):
            continue
        trial = int(record.payload["trial"])
        if record.payload["event"] == "started" and trial not in told and not _is_cut(trial, sent):
            continue
        if record.payload["event"] == "won":
            known = {**sent, **{number: one.sent for number, one in told.items()}}
            for other in [n for n, one in known.items() if one.has_won and n != trial]:
                account(other, record.time_ms).lose()
        account(trial, record.time_ms).add(record)
    after = {trial: account.sent for trial, account in told.items()}
    return [account.news for account in told.values()], {**sent, **after}


def cut_off(trial: int, sent: SentTrial, end_ms: int) -> TrialNews:
    """Return what is to be sent of a trial whose search has ended and tells no end of it.

    Args:
        trial: its number.
        sent: what is known of it.
        end_ms: when the search ended, in milliseconds since 1970.
    """
    tags = {
        OUTCOME: CUT_OFF,
        STOP_STEP: str(sent.last_step),
        STOP_REASON: words_of_end(CUT_OFF, None),
        COLOR_TAG: COLORS[CUT_OFF],
    }
    return TrialNews(trial, end_ms, tags=tags, status=(_STATUS[CUT_OFF], end_ms))


def _is_told(payload: Mapping[str, Any]) -> bool:
    if payload["event"] == "decided":
        return payload["action"] in _TOLD_VERDICTS
    return payload["event"] in ("suggested", "started", "reported", "ended", "won")


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
        layout: the search's, where it is known.
    """

    def __init__(
        self, trial: int, began_ms: int, before: SentTrial, layout: SearchLayout | None
    ) -> None:
        self.news = TrialNews(trial, began_ms)
        self._layout = layout
        self._outcome = before.outcome
        self._ended_step = before.ended_step
        self._last_steps = dict(before.last_steps)
        self._has_reason, self._has_won = before.has_reason, before.has_won
        self._score, self._rank = before.score, before.rank

    @property
    def sent(self) -> SentTrial:
        """What is known of the trial after the records."""
        return SentTrial(
            self._outcome,
            self._ended_step,
            self._last_steps,
            self._has_reason,
            self._has_won,
            self._score,
            self._rank,
        )

    def lose(self) -> None:
        """Take in that another has won, in a search that went on."""
        self._has_won = False
        self.news.tags[COLOR_TAG] = PLAIN_COLOR

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
        elif payload["event"] == "won":
            self._has_won = True
            self.news.tags[COLOR_TAG] = WON_COLOR
        elif payload["action"] == "copy":
            self.news.tags[f"{TOOK_OVER}{payload['rung']}"] = payload["text"]
        else:
            self._give_reason(payload["text"])

    def _give_reason(self, text: str) -> None:
        self._has_reason = True
        self.news.tags[STOP_REASON] = text

    def _suggest(self, payload: Mapping[str, Any]) -> None:
        params = self._params(payload["assignment"])
        if payload.get("may_change"):
            self.news.tags |= {f"{SUGGESTED}{key}": value for key, value in params.items()}
        else:
            self.news.params |= params

    def _params(self, assignment: Mapping[str, Any]) -> dict[str, str]:
        logarithms = self._layout.logarithms(assignment) if self._layout else {}
        return {**assignment_params(assignment), **logarithms}

    def _go_on(self, time_ms: int) -> None:
        """Take back the end of a trial that was killed, and begins or reports again."""
        if self._outcome in _MAY_GO_ON:
            self.news.tags |= {OUTCOME: "running", STOP_STEP: VOID, COLOR_TAG: PLAIN_COLOR}
            self._give_reason(VOID)
            self._has_reason = False
            self.news.status = (_GOES_ON, time_ms)
            self._outcome = ""

    def _end(self, record: JournalRecord) -> None:
        payload, finals = record.payload, record.payload["metrics"] or {}
        # What was reported stands, at its own steps.
        unreported = {k: v for k, v in finals.items() if k not in self._last_steps}
        self._add_points(record, unreported)
        outcome, step = payload["outcome"], int(payload["step"] or 0)
        if self._layout is not None:
            summary = self._layout.summary(payload, is_whole=outcome in _WHOLE)
            self._add_points(record, summary)
            score = summary.get(SCORE, math.nan)
            self._score = score if math.isfinite(score) else None
        self.news.tags[OUTCOME] = outcome
        if not self._has_won:
            self.news.tags[COLOR_TAG] = COLORS[outcome]
        reason = words_of_end(outcome, payload["error"])
        if reason and (payload["error"] or not self._has_reason):
            self._give_reason(reason)
        if outcome != "finished":
            self.news.tags[STOP_STEP] = str(step)
        elif self._outcome in _MAY_GO_ON:
            self.news.tags[STOP_STEP] = VOID
        self.news.params |= self._params(payload.get("assignment") or {})
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

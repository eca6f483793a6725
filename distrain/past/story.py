"""What a journal tells, gathered in one pass: values, attempts, sessions of drivers, notes.

Of a metric at a step the first value stands. Where steps that are computed again may come out
differently (`reduction: fast`, `strategy: fsdp`), those of an earlier attempt beyond the step that
the next one went on from are left out, as they are at the tracking server.

Of a journal that is large beyond measure, values are told from a step on that the newest part of it
begins with: all of them take minutes and gigabytes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, final, get_args

from distrain.track.journal_reading import (
    DRIVER,
    JournalRecord,
    last_step,
    last_written,
    metric_values,
    segments_of,
    written_by,
    written_since,
)
from distrain.track.outcome import READY_S, TRAINING_S
from distrain.track.recorded import KINDS
from distrain.track.sending import GOES_ON

Point = tuple[float, float]

MAX_BYTES: Final = 64 << 20
"""Of what rank zero recorded; of more, about the newest so many are read for values."""

WORKERS_TAG: Final = "distrain.workers_by_attempt"
Phase = Literal["data", "compute", "reduce", "record", "evaluate", "checkpoint"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)
"""What a worker measures of an epoch: `time/<phase>_s`."""
_ATTEMPTS: Final = "attempts"
_RANK_ZERO: Final = "rank0"
_SYSTEM: Final = "system"


@final
@dataclass
class AttemptStory:
    """An attempt at training, as far as it is told.

    Attributes:
        asked_ms: when its workers were asked for, in milliseconds since 1970.
        num_workers: how many.
        began_ms: when they were set up and began to train; None: they never did.
        from_step: committed steps that it went on from.
        phases: seconds that rank zero has told of, by phase.
        told_ms: when it told last; None: it never did.
        untold: seconds of waiting for data and of exchange that were shown after that.
        saved_ms: when the last checkpoint after that was committed; None: none was.
        assessed_ms: when the test split was measured; None: it was not.
        last_ms: when rank zero recorded anything last; None: it never did.
    """

    asked_ms: int
    num_workers: int
    began_ms: int | None = None
    from_step: int = 0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    told_ms: int | None = None
    untold: dict[str, float] = field(default_factory=lambda: {"data": 0.0, "reduce": 0.0})
    saved_ms: int | None = None
    assessed_ms: int | None = None
    last_ms: int | None = None


@final
@dataclass
class SessionStory:
    """What one command did for the run: from its first record to its last.

    Attributes:
        began_ms: its first record.
        ready_s: seconds that it took before, to get ready.
        trained_ms: when its training had come to an end; None: that is not told.
        ended_ms: when the run ended, as was told; None: it was not, or not yet.
    """

    began_ms: int
    ready_s: float = 0.0
    trained_ms: int | None = None
    ended_ms: int | None = None


@final
@dataclass(frozen=True)
class Note:
    """Something that the user was told.

    Attributes:
        time_ms: when.
        text: what.
        is_of_attempts: whether it is of workers that were lost, and of others that came.
    """

    time_ms: int
    text: str
    is_of_attempts: bool = False


@final
@dataclass
class Story:
    """What a journal tells.

    Attributes:
        metrics: of training, validation, test and time: name to value by step.
        system: how busy the machines were: name to milliseconds since 1970 and value, in order.
        sessions: of drivers, in order.
        attempts: at training, in order.
        tags: the last value of each.
        notes: in the order of time.
        troubles: steps that were out of the ordinary.
        assessments: where the final model is wrong, by split; see `train.mistakes`.
        progress: the last that was shown of how far training is; empty: nothing was.
        every_steps: steps between two records of the training loss.
        last_ms: the newest record; 0: there is none.
        from_step: the step from which on values of training are told; 0: all are.
    """

    metrics: dict[str, dict[int, float]] = field(default_factory=dict)
    system: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    sessions: list[SessionStory] = field(default_factory=list)
    attempts: list[AttemptStory] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    troubles: list[Mapping[str, Any]] = field(default_factory=list)
    assessments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    every_steps: int | None = None
    last_ms: int = 0
    from_step: int = 0

    def points(self, name: str) -> list[Point]:
        """Return a metric's values by step, ascending; none where it was not recorded."""
        return [(float(step), value) for step, value in sorted(self.metrics.get(name, {}).items())]

    def last(self, name: str) -> float | None:
        """Return a metric's last value, None where there is none."""
        points = self.points(name)
        return points[-1][1] if points else None

    @property
    def has_end(self) -> bool:
        """Return whether it tells how the run ended."""
        return bool(self.sessions) and self.sessions[-1].ended_ms is not None

    @property
    def last_step(self) -> int:
        """Return the last optimizer step that is told of."""
        steps = [max(values) for values in self.metrics.values() if values]
        return max([*steps, int(self.progress.get("step", 0))])


def read_outline(journal: Path) -> Story:
    """Return what a journal tells of commands and attempts alone.

    What the workers have recorded may be gigabytes: it is read only where a command was killed and
    another went on, which they alone tell the end of.

    Args:
        journal: the journal's folder; a missing one tells nothing.

    Raises:
        OSError: it cannot be read.
    """
    story = _outline(journal)
    is_told = all(session.ended_ms is not None for session in story.sessions[:-1])
    return story if is_told else read_story(journal)


def _outline(journal: Path) -> Story:
    story = Story()
    for record in written_by(DRIVER, journal):
        _of_driver(story, record)
    for record in written_by(_ATTEMPTS, journal):
        _of_attempts(story, record)
    return story


def read_story(journal: Path) -> Story:
    """Return what a journal tells.

    Args:
        journal: the journal's folder; a missing one tells nothing.

    Raises:
        OSError: it cannot be read.
    """
    story = _outline(journal)  # by which a worker's record is of one attempt, or another
    for record in _of_rank_zero(story, journal):
        _of_workers(story, record)
    for record in written_by(_SYSTEM, journal):
        _of_system(story, record)
    story.notes.sort(key=lambda note: note.time_ms)
    return story


def _of_rank_zero(story: Story, journal: Path) -> Iterator[JournalRecord]:
    """Give what rank zero recorded; of too much, no values before a step that `story` tells."""
    num_bytes = sum(path.stat().st_size for path in segments_of(_RANK_ZERO, journal))
    if num_bytes <= MAX_BYTES:
        yield from written_by(_RANK_ZERO, journal)
        return
    # A step takes as many bytes as another, or nearly.
    story.from_step = max(1, math.ceil(last_step(journal) * (1 - MAX_BYTES / num_bytes)))
    yield from written_since(story.from_step, _RANK_ZERO, journal)
    progress = last_written(_RANK_ZERO, journal, "progress")
    if progress is not None:
        story.progress = progress.payload


def _of_driver(story: Story, record: JournalRecord) -> None:
    _common(story, record)
    if record.kind == "store":
        story.sessions.append(SessionStory(record.time_ms))
    if not story.sessions:
        return
    session = story.sessions[-1]
    if record.kind == "metrics":
        values = metric_values(record)
        session.ready_s = values.get(READY_S, session.ready_s)
        if TRAINING_S in values:
            session.trained_ms = record.time_ms
        _add(story.metrics, int(record.payload["step"]), values)
    elif record.kind == "status" and record.payload["status"] != GOES_ON:
        # A run that was killed has no end of its own; who closes it later gives it one.
        session.ended_ms = session.ended_ms or record.payload.get("ended_ms") or record.time_ms


def _of_attempts(story: Story, record: JournalRecord) -> None:
    _common(story, record)
    if record.kind == "tags" and WORKERS_TAG in record.payload:
        counts = str(record.payload[WORKERS_TAG]).split(",")
        story.attempts.append(AttemptStory(record.time_ms, int(counts[-1])))


def _of_system(story: Story, record: JournalRecord) -> None:
    _common(story, record)
    if record.kind == "system":
        for name, value in metric_values(record).items():
            story.system.setdefault(name, []).append((record.time_ms, value))


def _of_workers(story: Story, record: JournalRecord) -> None:
    _common(story, record)
    if record.kind == "start":
        _begin(story, record)
    attempt = _attempt_at(story, record)
    if attempt is not None and record.kind in ("metrics", "progress", "checkpoint"):
        _of_attempt(attempt, record)
    if record.kind == "metrics":
        _add(story.metrics, int(record.payload["step"]), metric_values(record))
    elif record.kind == "progress":
        story.progress = record.payload
    elif record.kind == "trouble":
        story.troubles.append(record.payload)
    elif record.kind == "assessment":
        story.assessments[str(record.payload["split"])] = record.payload["counts"]


def _begin(story: Story, record: JournalRecord) -> None:
    """Take in that training goes on from a step, and what that makes void."""
    step = int(record.payload["step"])
    story.every_steps = record.payload.get("every_steps")
    if not record.payload.get("is_exact", True):
        for name, values in story.metrics.items():
            if name.startswith(KINDS):
                story.metrics[name] = {at: value for at, value in values.items() if at <= step}
    attempt = _attempt_at(story, record)
    if attempt is not None:
        attempt.began_ms, attempt.from_step = record.time_ms, step


def _of_attempt(attempt: AttemptStory, record: JournalRecord) -> None:
    attempt.last_ms = record.time_ms
    if record.kind == "checkpoint":
        attempt.saved_ms = record.time_ms
    elif record.kind == "progress":
        for name in attempt.untold:
            attempt.untold[name] += float(record.payload.get(f"{name}_s", 0.0))
    else:
        values = metric_values(record)
        if f"time/{PHASES[0]}_s" in values:
            for name in PHASES:
                attempt.phases[name] += values.get(f"time/{name}_s", 0.0)
            attempt.told_ms, attempt.saved_ms = record.time_ms, None
            attempt.untold = dict.fromkeys(attempt.untold, 0.0)
        elif any(name.startswith("test/") for name in values):
            attempt.assessed_ms = record.time_ms


def _attempt_at(story: Story, record: JournalRecord) -> AttemptStory | None:
    """Return the attempt that a record is of: the last that had been asked for by then."""
    asked = [attempt for attempt in story.attempts if attempt.asked_ms <= record.time_ms]
    return asked[-1] if asked else None


def _common(story: Story, record: JournalRecord) -> None:
    story.last_ms = max(story.last_ms, record.time_ms)
    if record.kind == "note":
        story.notes.append(
            Note(record.time_ms, str(record.payload["text"]), record.writer == _ATTEMPTS)
        )
    elif record.kind == "tags":
        story.tags |= {name: str(value) for name, value in record.payload.items()}
    elif record.kind == "run":
        story.tags |= {name: str(value) for name, value in record.payload["tags"].items()}


def _add(table: dict[str, dict[int, float]], at: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        table.setdefault(name, {}).setdefault(at, value)

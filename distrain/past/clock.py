"""Where a run's time went: parts that add up to the wall time of all of its workers.

    getting ready      the command checked, joined Ray, prepared the data, tried the model
    starting workers   until they were set up
    an epoch's parts   as rank zero measured them; all workers step together, so an epoch takes
                       each of them as long
    not split          training that was cut off before its epoch's parts were told
    starting over      from an attempt's last word until the next one's workers were asked for
    final parts        the last checkpoint, the test split, until the workers were gone
    packaging          the model packaged, loaded back, registered

Each part counts as often as the attempt had workers. What is between the parts that were measured
is `other`; it is stated, and small. The time between two commands is no part of it. Pure.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, final

from distrain.past.story import PHASES, AttemptStory, SessionStory, Story

Key = Literal[
    "ready",
    "start",
    "data",
    "compute",
    "reduce",
    "record",
    "evaluate",
    "checkpoint",
    "unsplit",
    "over",
    "leave",
    "package",
    "other",
]

NAMES: Final[dict[Key, str]] = {
    "ready": "getting ready",
    "start": "starting workers",
    "data": "waiting for data",
    "compute": "computing",
    "reduce": "exchanging gradients",
    "record": "recording",
    "evaluate": "evaluating",
    "checkpoint": "checkpoints",
    "unsplit": "training, not split further",
    "over": "starting over",
    "leave": "workers leaving",
    "package": "packaging and registering",
    "other": "other",
}
# What is not needed where somebody holds the GPUs for the whole of it.
_WITHOUT_WORKERS: Final = ("ready", "package")


@final
@dataclass(frozen=True)
class Spent:
    """A part of the time.

    Attributes:
        key: which part.
        wall_s: seconds by the clock.
        worker_s: the same, counted once for each worker of the attempt.
    """

    key: Key
    wall_s: float
    worker_s: float


@final
@dataclass(frozen=True)
class TimeSplit:
    """Where the time went.

    Attributes:
        wall_s: seconds in which a command drove the run, from its first check on.
        worker_s: the same, counted once for each worker.
        parts: what they were spent on, in the order of a run; those that took none are left out.
        between_s: seconds between commands, in which nobody drove it.
    """

    wall_s: float
    worker_s: float
    parts: tuple[Spent, ...]
    between_s: float

    @property
    def held_s(self) -> float:
        """Return the seconds that workers were there, of all of them: from their start to end."""
        return sum(part.worker_s for part in self.parts if part.key not in _WITHOUT_WORKERS)

    def seconds(self, key: Key) -> float:
        """Return the seconds by the clock of a part, 0 where it took none."""
        return sum(part.wall_s for part in self.parts if part.key == key)


Piece = tuple[Key, float, int]


def split_time(story: Story, until_ms: int | None = None) -> TimeSplit:
    """Return where the time went.

    Args:
        story: what the journal tells.
        until_ms: now, in milliseconds since 1970, where the run still goes on; None: it does not,
            and a command that told no end was over with its last record.
    """
    pieces: list[Piece] = []
    spans: list[tuple[int, int]] = []
    for place, session in enumerate(story.sessions):
        later = story.sessions[place + 1 :]
        attempts = [
            attempt
            for attempt in story.attempts
            if session.began_ms <= attempt.asked_ms
            and (not later or attempt.asked_ms < later[0].began_ms)
        ]
        end = _end_of(session, attempts, story, is_last=not later, until_ms=until_ms)
        spans.append((session.began_ms - round(1000 * session.ready_s), end))
        pieces += _pieces(session, attempts, end)
    return TimeSplit(
        wall_s=sum(end - begin for begin, end in spans) / 1000,
        worker_s=sum(seconds * count for _, seconds, count in pieces),
        parts=tuple(_added(pieces)),
        between_s=sum(max(0, later[0] - earlier[1]) for earlier, later in itertools.pairwise(spans))
        / 1000,
    )


def _end_of(
    session: SessionStory,
    attempts: list[AttemptStory],
    story: Story,
    *,
    is_last: bool,
    until_ms: int | None,
) -> int:
    if session.ended_ms is not None:
        return session.ended_ms
    if is_last:
        return max(until_ms or story.last_ms, session.began_ms)
    # A driver that was killed: its workers' last word is the last that is known of it.
    told = [attempt.last_ms or attempt.asked_ms for attempt in attempts]
    return max([session.began_ms, session.trained_ms or 0, *told])


def _pieces(session: SessionStory, attempts: list[AttemptStory], end_ms: int) -> Iterator[Piece]:
    """Give what a command's time was spent on, piece by piece and without a gap."""
    count = attempts[0].num_workers if attempts else 1
    first_ms = attempts[0].asked_ms if attempts else end_ms
    yield "ready", session.ready_s + (first_ms - session.began_ms) / 1000, count
    for place, attempt in enumerate(attempts):
        following = attempts[place + 1 :]
        if following:
            yield from _of_attempt(attempt, following[0].asked_ms, is_last=False)
        else:
            trained_ms = min(end_ms, session.trained_ms or end_ms)
            yield from _of_attempt(attempt, trained_ms, is_last=True)
            yield "package", (end_ms - trained_ms) / 1000, attempt.num_workers


def _of_attempt(attempt: AttemptStory, end_ms: int, *, is_last: bool) -> Iterator[Piece]:
    count = attempt.num_workers
    if attempt.began_ms is None:
        yield "start", _between(attempt.asked_ms, end_ms), count
        return
    yield "start", _between(attempt.asked_ms, attempt.began_ms), count
    told_ms = attempt.told_ms or attempt.began_ms
    if attempt.told_ms is not None:
        for name in PHASES:
            yield name, attempt.phases[name], count
        measured_s = sum(attempt.phases.values())
        yield "other", _between(attempt.began_ms, told_ms) - measured_s, count
    last_ms = max(told_ms, min(attempt.last_ms or told_ms, end_ms))
    if is_last and attempt.assessed_ms is not None:
        yield from _final(attempt, told_ms, end_ms)
        return
    rest_s = _between(told_ms, last_ms)
    shown_s = dict(attempt.untold)
    yield "data", min(shown_s["data"], rest_s), count
    yield "reduce", min(shown_s["reduce"], max(0.0, rest_s - shown_s["data"])), count
    yield "unsplit", max(0.0, rest_s - sum(shown_s.values())), count
    yield ("leave" if is_last else "over"), _between(last_ms, end_ms), count


def _final(attempt: AttemptStory, told_ms: int, end_ms: int) -> Iterator[Piece]:
    """Give what came after the last epoch of a run that came to its end."""
    count, assessed_ms = attempt.num_workers, attempt.assessed_ms
    assert assessed_ms is not None
    saved_ms = min(attempt.saved_ms or told_ms, assessed_ms)
    yield "checkpoint", _between(told_ms, saved_ms), count
    yield "evaluate", _between(saved_ms, assessed_ms), count
    yield "leave", _between(assessed_ms, end_ms), count


def _between(begin_ms: int, end_ms: int) -> float:
    """Return the seconds between two records; clocks of two hosts may differ a little."""
    return max(0.0, (end_ms - begin_ms) / 1000)


def _added(pieces: list[Piece]) -> Iterator[Spent]:
    for key in NAMES:
        own = [(seconds, count) for name, seconds, count in pieces if name == key]
        wall_s = sum(seconds for seconds, _ in own)
        if wall_s:
            yield Spent(key, wall_s, sum(seconds * count for seconds, count in own))

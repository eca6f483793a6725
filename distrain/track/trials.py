"""The numbers of a search's trials, and what is known of one after it was sent. Pure.

What comes after a search, the audit of stopped trials and the winner's other seeds, is told in the
same events, under numbers that no trial of the search has; each is a run of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

SEARCH: Final = "search"
"""The writer of a search's events, and their kind."""
AUDITS_FROM: Final = 1_000_000
"""An audited trial goes on, in the log, under its number and this."""
CONFIRMS_FROM: Final = 2_000_000
MAX_CONFIRMING: Final = 1_000
"""The winner's other seeds have numbers from its own times this on, behind CONFIRMS_FROM."""
CUT_OFF: Final = "killed"
"""The outcome of a trial whose search has ended and tells no end of it."""


@final
@dataclass(frozen=True)
class SentTrial:
    """What is known of a trial after all that was sent of it.

    Attributes:
        outcome: how it ended; empty: it has not.
        ended_step: its last step when it ended; -1: it never did.
        last_steps: metric to the greatest step, since it began or went on.
        has_reason: whether it was told why it was stopped, or ended early.
        has_won: whether it was told that it won.
        score: what it is ranked by; None: it did not come to its end, or has no number for it.
        rank: the place among the others that it was told, from 1; 0: none.
    """

    outcome: str = ""
    ended_step: int = -1
    last_steps: dict[str, int] = field(default_factory=dict)
    has_reason: bool = False
    has_won: bool = False
    score: float | None = None
    rank: int = 0

    @property
    def last_step(self) -> int:
        """Return the last step that it told of; 0 where it told of none."""
        return max([0, self.ended_step, *self.last_steps.values()])


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


def ranked(trials: Mapping[int, SentTrial], *, is_greater_better: bool) -> list[int]:
    """Return the trials of a search that came to their end, the winner first.

    Of equal scores, that of the lower number is better. What won is first whatever its own score:
    of several seeds, the mean decides.

    Args:
        trials: what is known of each; audits and other seeds are left out.
        is_greater_better: whether more is better.
    """
    sign = -1 if is_greater_better else 1
    places = [
        (not sent.has_won, sign * sent.score, trial)
        for trial, sent in trials.items()
        if sent.score is not None and kind_of(trial)[0] == "trial"
    ]
    return [trial for _, _, trial in sorted(places)]

"""Failures of one cause: which errors are alike, and the error that ends a search of many. Pure.

In: the errors of trials. Out: what failures are counted by, and the search's own error.
"""

import re
from typing import Final

from distrain.errors import DistrainError, TrainError

MAX_SAME_FAILURES: Final = 10
"""So many trials that failed of one cause end the search."""
# An address, as of `<Net object at 0x7f3c2a1b>`, is another in each process.
_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)


def cause_text(error: DistrainError) -> str:
    """Return what errors of one cause have in common: all but the numbers in their messages."""
    return f"{error.kind}: {_NUMBERS.sub('#', error.message)}"


def error_of_many(last: DistrainError, count: int) -> TrainError | None:
    """Return the error that ends a search; None: there are too few failures of that cause.

    Args:
        last: the newest of them.
        count: how many trials failed of its cause, that one among them.
    """
    if count < MAX_SAME_FAILURES:
        return None
    return TrainError(
        f"{count} trials failed of the same cause, at last: {last.message}",
        where=last.where,
        expected=last.expected,
        mend=last.mend or "See the trials' errors, then run `distrain resume`",
    )

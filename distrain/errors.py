"""Every error that distrain raises on purpose: its exit code and the four parts of its message.

A message says where the fault is, what came, what was expected, and how to mend it. `cli.py` prints
it and leaves with `exit_code`; nothing else in distrain ends the process. Secrets are masked in all
of it, because messages go to logs, to results and to the record.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, final

from distrain.redaction import redacted

EXIT_FAILED: Final = 1
EXIT_GOALS_UNMET: Final = 3
EXIT_INTERRUPTED: Final = 130


class DistrainError(Exception):
    """The root of all errors raised on purpose.

    Args:
        message: what came, in one sentence.
        where: file and line, key, column, path, rank and step: whatever finds the place.
        expected: what would have been right.
        mend: what the user can do about it.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, where: str = "", expected: str = "", mend: str = ""
    ) -> None:
        self.message = redacted(message)
        self.where = redacted(where)
        self.expected = redacted(expected)
        self.mend = redacted(mend)
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        parts = [_sentence(head)]
        if self.expected:
            parts.append(_sentence(f"Expected {self.expected}"))
        if self.mend:
            parts.append(_sentence(self.mend))
        return " ".join(parts)

    def to_json(self) -> dict[str, str]:
        """Return the object that `--json` has under `error`."""
        return {
            "kind": self.kind,
            "message": self.message,
            "where": self.where,
            "expected": self.expected,
            "mend": self.mend,
        }

    def __reduce__(self) -> tuple[object, ...]:
        parts = (type(self), self.message, self.where, self.expected, self.mend)
        return _rebuild, parts, self.__dict__


def _rebuild(
    kind: type[DistrainError], message: str, where: str, expected: str, mend: str
) -> DistrainError:
    return kind(message, where=where, expected=expected, mend=mend)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


@final
class ConfigError(DistrainError):
    """The configuration or the command line is at fault; nothing was started."""

    exit_code = 2
    kind = "config"


@final
class DataError(DistrainError):
    """The data is at fault: missing, unreadable, or not what the configuration says it is."""

    exit_code = 2
    kind = "data"


@final
class ModelError(DistrainError):
    """The model cannot be built, or does not fit the data; found before anything is launched."""

    exit_code = 2
    kind = "model"


@final
class TrainError(DistrainError):
    """Training began and failed: a loss that is not finite, an exception in the user's code.

    Args:
        message: what came, in one sentence.
        where: what finds the place.
        expected: what would have been right.
        mend: what the user can do about it.
        cause: whose fault it is, `user` or `cluster`; empty: nobody can tell.
        error_class: what it is for who counts failures: the exception that was raised, such as
            `ValueError`, or `not_finite`, `node_lost`; empty: nothing more exact than this class.
    """

    exit_code = 1
    kind = "train"

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        expected: str = "",
        mend: str = "",
        cause: str = "",
        error_class: str = "",
    ) -> None:
        super().__init__(message, where=where, expected=expected, mend=mend)
        self.cause = cause
        self.error_class = error_class


@final
class CheckpointError(DistrainError):
    """A checkpoint is torn, altered, or belongs to another run."""

    exit_code = 1
    kind = "checkpoint"


@final
class TrackingError(DistrainError):
    """The tracking server that was named cannot be reached, or refuses."""

    exit_code = 4
    kind = "tracking"


@final
class ClusterError(DistrainError):
    """The Ray cluster is away, or has no room in time, or a local Ray does not start."""

    exit_code = 4
    kind = "cluster"


@final
class StorageError(DistrainError):
    """The object store that was named for `storage` cannot be reached."""

    exit_code = 4
    kind = "storage"


def error_from_json(fields: Mapping[str, str]) -> DistrainError:
    """Return the error that `to_json` gave; one of an unknown kind is of the root's."""
    kinds = {kind.kind: kind for kind in DistrainError.__subclasses__()}
    return _rebuild(
        kinds.get(fields["kind"], DistrainError),
        fields["message"],
        fields["where"],
        fields["expected"],
        fields["mend"],
    )


def nearest(name: str, valid: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the valid name closest to `name`, or None where none is close.

    Args:
        name: what the user wrote.
        valid: the names that would have been right.
        cutoff: least similarity in [0, 1] (difflib's ratio).
    """
    by_folded = {option.casefold(): option for option in valid}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def did_you_mean(name: str, valid: Iterable[str], *, listed: str = "Valid names") -> str:
    """Return the sentence that leads from a wrong name to the right one.

    Args:
        name: what the user wrote.
        valid: the names that would have been right; listed in full up to 30.
        listed: what the list is called.
    """
    names = sorted(valid)
    close = nearest(name, names)
    guess = f"Did you mean {close!r}? " if close else ""
    shown = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
    return f"{guess}{listed}: {shown or 'none'}."


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, at most 300 characters; its type where it has none.

    What libraries raise often goes on with pages that say nothing to a person. Secrets are masked.
    """
    return redacted((str(error).strip().splitlines() or [type(error).__name__])[0])[:300]

"""One fault of a configuration, and how several of them become one error."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from distrain.errors import ConfigError

KeyPath = tuple[str | int, ...]
"""Where a value stands in the tree: ("model", "hidden", 0)."""


@dataclass(frozen=True)
class Place:
    """Where a value was written.

    Attributes:
        origin: the file as the user named it, or "command line".
        line: line in the file, from 1; 0 where there is none.
        folder: what relative paths written there are relative to; absolute.
        rank: how late the origin comes in the order of files and overrides.
    """

    origin: str
    line: int
    folder: Path
    rank: int = 0

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}" if self.line else self.origin


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        message: what came, beginning with the dotted key.
        keys: the values it is about; the first that was written gives the place.
        expected: what would have been right.
        mend: what the user can do about it.
        place: file and line, once known.
    """

    message: str
    keys: tuple[KeyPath, ...] = ()
    expected: str = ""
    mend: str = ""
    place: Place | None = None

    def as_error(self) -> ConfigError:
        """Return the error that tells this fault alone."""
        where = str(self.place) if self.place else ""
        return ConfigError(self.message, where=where, expected=self.expected, mend=self.mend)


def dotted(path: KeyPath) -> str:
    """Return the path as messages and overrides write it: model.hidden[0]."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.lstrip(".")


def raise_faults(faults: Iterable[Fault]) -> NoReturn:
    """Raise one error that tells all faults, in the order in which they were written.

    Args:
        faults: at least one.

    Raises:
        ConfigError: always; with several faults its text has one line for each.
    """
    ordered = sorted(dict.fromkeys(faults), key=_written)
    if len(ordered) == 1:
        raise ordered[0].as_error()
    raise ConfigError("\n".join(str(fault.as_error()) for fault in ordered))


def _written(fault: Fault) -> tuple[int, int]:
    return (fault.place.rank, fault.place.line) if fault.place else (0, 0)

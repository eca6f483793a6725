"""How a job says what came of it: one line at the end of its log, read by whoever waits for it.

Ray keeps of a job no more than its exit code and its log. An unmet goal ends the job with 0, so
that nobody trains again; the line has the command's own code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.plain_json import to_json_line

_MARK: Final = "distrain-ended "


@final
@dataclass(frozen=True)
class Ending:
    """What a command came to.

    Attributes:
        exit_code: its own, also where the job's is another.
        result: what it prints under `--json`; None: it printed nothing.
    """

    exit_code: int
    result: Mapping[str, Any] | None


def ending_line(ending: Ending) -> str:
    """Return the line that says how a command ended."""
    return _MARK + to_json_line({"exit_code": ending.exit_code, "result": ending.result})


def read_ending(log: str) -> Ending | None:
    """Return how the command ended that wrote a log; None: the log does not tell."""
    for line in reversed(log.splitlines()):
        if line.startswith(_MARK):
            try:
                fields = json.loads(line.removeprefix(_MARK))
                return Ending(int(fields["exit_code"]), fields["result"])
            except (ValueError, KeyError, TypeError):
                continue
    return None


def without_ending(text: str) -> str:
    """Return a part of a log for a person, without the line that is meant for a program."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(_MARK))

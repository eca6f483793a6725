"""How a job says what came of it: one line at the end of its log, read by whoever waits for it.

Ray keeps of a job no more than its exit code and its log. An unmet goal ends the job with 0, so
that nobody trains again; the line has the command's own code. It is not shown to a person, and
neither is what Ray writes at the head of each log.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.plain_json import to_json_line

ENTRYPOINT: Final = "exec python -m distrain.as_job"
"""What each job's command line begins with; `exec`, so that its signals reach the command."""
_MARK: Final = "distrain-ended "
_RUNNING: Final = "Running entrypoint for job "
_SETTING_UP: Final = ("job_manager.py", "Runtime env is setting up.")


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


def for_a_person(text: str) -> str:
    """Return whole lines of a log without those that Ray or this package has put around it."""
    return "".join(line for line in text.splitlines(keepends=True) if not _is_around(line))


def _is_around(line: str) -> bool:
    is_entry = line.startswith(_RUNNING) and f": {ENTRYPOINT} " in line
    return is_entry or line.startswith(_MARK) or all(part in line for part in _SETTING_UP)

"""Processes in sessions of their own: whatever they start is found again, and ended by its id.

A session keeps its number however its processes fork, are orphaned or change their titles, until
one of them asks for another session. Signals to the group of the process that started them are not
for them. They end with that process, where the system can see to it (Linux) and it is not let go.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from distrain.process import family_of, start_time_of

END_TIMEOUT_S: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def start_session(
    words: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    errors: "IO[Any] | int",
    output: "IO[Any] | int",
    folder: Path | None = None,
    outlives_this: bool = False,
) -> "subprocess.Popen[str]":
    """Start a command in a session of its own; from the main thread, with whose end it ends.

    Args:
        words: the command line.
        environment: all of its variables.
        errors: takes its stderr; `subprocess.STDOUT`: what takes its stdout.
        output: takes its stdout; `subprocess.PIPE`: it can be read.
        folder: its working directory; None: this process's.
        outlives_this: whether it goes on when this process ends: it is let go, and nobody takes its
            exit code.
    """
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        text=True,
        start_new_session=True,
        preexec_fn=None if outlives_this else _end_with_parent,
    )
    if outlives_this:
        process.returncode = 0  # Popen would warn of a process that it leaves behind
    return process


def end_session(process: "subprocess.Popen[str]") -> None:
    """End all processes of a session and below it with SIGKILL, and wait until they are gone.

    Where its number has been given to another process meanwhile, nothing is left of it to end.

    Args:
        process: the one that it was started with.
    """
    if process.poll() is not None and start_time_of(process.pid) is not None:
        return
    deadline = time.monotonic() + END_TIMEOUT_S
    while (left := family_of(process.pid)) and time.monotonic() < deadline:
        for member in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        time.sleep(0.02)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def command_line(process: int) -> list[str]:
    """Return the words that a process was started with; nothing where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def _end_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent dies; called between fork and exec."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

"""What a worker's log tells of a crash: it leaves a stack there, a SIGKILL does not."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from distrain.train.beat import LOG_FOLDER
from distrain.train.faults import CRASHED, NODE_LEFT, is_out_of_memory

LOG_FILE: Final = "rank-{rank}.txt"
# By Python's fault handler, and by Ray's, whichever is called; a progress bar may stand before it.
_FATAL: Final = re.compile(rb"Fatal Python error: ([\w ]+)|\*\*\* (SIG[A-Z]+) received")
# A stack of every thread fits in it, and a log may have any size.
_TAIL_BYTES: Final = 1 << 18


def log_sizes(run_dir: Path) -> dict[Path, int]:
    """Return the size in bytes of each worker's log, to which an attempt's lines are added.

    Raises:
        OSError: storage failed.
    """
    logs = (run_dir / LOG_FOLDER).glob(LOG_FILE.format(rank="*"))
    return {path: path.stat().st_size for path in logs}


def with_crashes(
    deaths: Mapping[int | None, str], run_dir: Path, before: Mapping[Path, int]
) -> dict[int | None, str]:
    """Return what is said of workers that died, with the crash in place of Ray's words for it.

    Args:
        deaths: what Ray says of them, by rank; None: of one that had none yet.
        run_dir: the run.
        before: what `log_sizes` returned before their attempt.

    Raises:
        OSError: a log cannot be read.
    """
    told = dict(deaths)
    for rank in deaths:
        path = run_dir / LOG_FOLDER / LOG_FILE.format(rank=rank)
        is_known = deaths[rank] == NODE_LEFT or is_out_of_memory(deaths[rank])
        if rank is None or is_known or not path.exists():
            continue
        found = list(_FATAL.finditer(_end_of(path, before.get(path, 0))))
        if found:
            told[rank] = CRASHED + (found[-1][1] or found[-1][2]).decode()
    return told


def _end_of(log: Path, start: int) -> bytes:
    """Return what a log ends with, of what was added to it from a byte on."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _TAIL_BYTES))
        return file.read()

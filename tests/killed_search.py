"""`distrain tune` in a process of its own, which is killed where its event log has got so far."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
TIMEOUT_S = 300.0


def kill_search(words: Sequence[str], storage: Path, num_events: int) -> Path:
    """Run a command of `distrain`, and SIGKILL it, and it alone, at so many events of its search.

    Args:
        words: the command's.
        storage: where no search is but this one.
        num_events: lines of the event log, those of earlier drivers too.

    Returns:
        The search's folder.
    """
    driver = subprocess.Popen(
        _command(words),
        cwd=storage.parent,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while _num_events(storage) < num_events:
            assert driver.poll() is None, "the search has ended before"
            assert time.monotonic() < deadline, f"no more than {_num_events(storage)} events"
            time.sleep(0.02)
    finally:
        driver.kill()
        driver.wait()
    return next(storage.glob("*/*/lease.json")).parent


def end_search(words: Sequence[str], storage: Path) -> Any:
    """Run a command of `distrain` to its end, and return its `--json`."""
    ended = subprocess.run(
        _command([*words, "--json"]), cwd=storage.parent, env=_environment(), capture_output=True
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout.splitlines()[-1])


def _num_events(storage: Path) -> int:
    logs = storage.glob("*/*/journal/search-*.jsonl")
    return sum(len(path.read_bytes().splitlines()) for path in logs)


def _command(words: Sequence[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("distrain")), *words]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}

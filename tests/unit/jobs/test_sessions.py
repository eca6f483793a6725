"""Processes in sessions of their own, and their end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distrain.jobs.sessions import end_session, start_session
from distrain.process import family_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

ORPHANING = "sleep 60 & sleep 60 & exit 0"


def test_what_a_process_leaves_behind_is_found_and_ended(tmp_path: Path) -> None:
    with (tmp_path / "errors.txt").open("w") as errors:
        process = start_session(
            ["sh", "-c", ORPHANING], {"PATH": "/bin:/usr/bin"}, errors=errors, output=errors
        )
    process.wait(10)
    orphans = family_of(process.pid)

    end_session(process)

    assert len(orphans) == 2
    assert family_of(process.pid) == {}


def test_a_session_ends_with_whoever_started_it(tmp_path: Path) -> None:
    starter = (
        "import sys, time, os\n"
        "from distrain.jobs.sessions import start_session\n"
        "process = start_session(['sleep', '60'], {}, errors=sys.stderr, output=sys.stderr)\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.communicate()

    deadline = time.monotonic() + 10
    while family_of(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert family_of(child) == {}


def test_a_process_that_is_let_go_outlives_its_starter() -> None:
    starter = (
        "from subprocess import DEVNULL\n"
        "from distrain.jobs.sessions import start_session\n"
        "process = start_session(\n"
        "    ['sleep', '60'], {}, errors=DEVNULL, output=DEVNULL, outlives_this=True\n"
        ")\n"
        "print(process.pid, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", starter], capture_output=True, text=True, check=True
    )
    child = int(done.stdout)

    assert list(family_of(child)) == [child]
    assert done.stderr == ""  # no ResourceWarning
    os.kill(child, signal.SIGKILL)

"""Which processes belong together."""

import os
import signal
import subprocess
import sys

from distrain.process import family_of, start_time_of

# A child of the same session, and one that leads a session of its own; then it waits.
PARENT = """
import subprocess, sys
beside = subprocess.Popen(["sleep", "60"])
apart = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(beside.pid, apart.pid, flush=True)
sys.stdin.read()
"""


def test_a_family_is_a_session_and_all_that_descends_from_it() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert leader.stdout is not None
    beside, apart = map(int, leader.stdout.readline().split())
    try:
        whole = family_of(leader.pid)
        leader.kill()
        leader.wait()
        orphans = family_of(leader.pid)
    finally:
        for pid in (beside, apart):
            os.kill(pid, signal.SIGKILL)
        leader.communicate()

    assert whole.keys() == {leader.pid, beside, apart}
    assert whole[beside] >= whole[leader.pid]
    assert orphans == {beside: whole[beside]}


def test_of_a_process_that_is_gone_there_is_no_family() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()

    assert family_of(gone.pid) == {}
    assert start_time_of(gone.pid) is None

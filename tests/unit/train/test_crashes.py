"""What a worker's log tells of a crash: real ones, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from distrain.train.beat import LOG_FOLDER
from distrain.train.crashes import log_sizes, with_crashes
from distrain.train.faults import NODE_LEFT

SAID = "the actor died unexpectedly"
PROGRAM = "import faulthandler, os, signal; faulthandler.enable(); os.kill(os.getpid(), signal.{})"


def die(log: Path, by: str) -> None:
    with log.open("ab") as errors:
        subprocess.run([sys.executable, "-c", PROGRAM.format(by)], stderr=errors, check=False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / LOG_FOLDER).mkdir()
    return tmp_path / LOG_FOLDER / "rank-1.txt"


@pytest.mark.parametrize(
    ("by", "told"),
    [("SIGSEGV", "Segmentation fault"), ("SIGABRT", "Aborted"), ("SIGBUS", "Bus error")],
)
def test_a_crash_is_told_by_its_name(tmp_path: Path, log: Path, by: str, told: str) -> None:
    die(log, by)

    assert with_crashes({1: SAID, None: SAID}, tmp_path, {}) == {
        1: f"the worker's process crashed: {told}",
        None: SAID,
    }


def test_a_kill_leaves_what_ray_says_of_it(tmp_path: Path, log: Path) -> None:
    die(log, "SIGKILL")

    assert with_crashes({1: SAID, 0: SAID}, tmp_path, {}) == {1: SAID, 0: SAID}


def test_the_crash_of_an_earlier_attempt_is_no_cause_of_a_later_death(
    tmp_path: Path, log: Path
) -> None:
    die(log, "SIGSEGV")
    before = log_sizes(tmp_path)
    die(log, "SIGKILL")

    assert with_crashes({1: SAID}, tmp_path, before) == {1: SAID}


@pytest.mark.parametrize(
    "said", [NODE_LEFT, "Task was killed due to the node running low on memory"]
)
def test_what_ray_knows_better_is_not_taken_for_a_crash(
    tmp_path: Path, log: Path, said: str
) -> None:
    die(log, "SIGABRT")

    assert with_crashes({1: said}, tmp_path, {}) == {1: said}


def test_what_stands_far_before_the_end_of_a_log_is_no_cause(tmp_path: Path, log: Path) -> None:
    die(log, "SIGSEGV")
    with log.open("ab") as lines:
        lines.write(b"a line of the user's\n" * 20_000)

    assert with_crashes({1: SAID}, tmp_path, {}) == {1: SAID}

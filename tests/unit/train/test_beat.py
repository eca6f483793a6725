"""What a worker tells of itself, and what a driver makes of it; without Ray."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from distrain.train import beat
from distrain.train.beat import BeatRecord, Pace, beating, last_step, read_beats
from distrain.train.watch import StallWatch

KILLED_AFTER_STEP_7 = """
import os, signal, sys
from pathlib import Path
from distrain.train.beat import beating

with beating(Path(sys.argv[1]), 1, attempt=2, node="n1") as beat:
    beat("compute", 7)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def test_a_worker_tells_where_it_is(run_dir: Path) -> None:
    with beating(run_dir, 0, attempt=3, node="n1") as tell:
        tell("evaluate", 12)

    told = read_beats(run_dir, 3)[0]
    assert (told.process, told.step, told.phase, told.node) == (os.getpid(), 12, "evaluate", "n1")


def test_a_killed_worker_leaves_the_step_it_was_at(run_dir: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED_AFTER_STEP_7, str(run_dir)], check=False)

    assert last_step(read_beats(run_dir, 2)) == 7


def test_beats_of_another_attempt_are_not_read(run_dir: Path) -> None:
    with beating(run_dir, 0, attempt=1, node=""):
        assert read_beats(run_dir, 2) == {}


def test_a_worker_without_room_for_its_file_trains_on(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    with beating(run_dir, 0, attempt=1, node="") as tell:
        tell("compute", 1)

    assert read_beats(run_dir, 1) == {}


def test_the_stacks_of_a_stalled_worker_go_to_its_log(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(beat, "TICK_S", 0.01)
    monkeypatch.setattr(beat, "STALL_S", 0.02)

    with beating(run_dir, 0, attempt=1, node="") as tell:
        tell("data", 5)
        time.sleep(0.3)

    said = capfd.readouterr().err
    assert said.count("no step since step 5 (data); the stacks of this worker:") == 1
    assert "test_the_stacks_of_a_stalled_worker_go_to_its_log" in said


@pytest.mark.parametrize("module", ["collective", "levels", "shared_memory"])
def test_a_worker_within_an_exchange_says_that_it_waits(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(beat, "TICK_S", 0.01)
    code = "def wait(is_over):\n    is_over.wait(0.3)\n"
    scope: dict[str, object] = {"__name__": f"distrain.train.{module}"}
    exec(code, scope)

    with beating(run_dir, 0, attempt=1, node=""):
        time.sleep(0.1)
        assert not read_beats(run_dir, 1)[0].is_waiting
        scope["wait"](threading.Event())  # type: ignore[operator]

    assert read_beats(run_dir, 1)[0].is_waiting


@pytest.mark.parametrize(
    ("step_s", "phase", "stood_s", "is_stalled"),
    [
        (0.1, "compute", 59, False),
        (0.1, "compute", 61, True),
        (10, "compute", 150, False),
        (10, "compute", 201, True),
        (0.1, "evaluate", 300, False),
        (0.1, "evaluate", 601, True),
        (0.1, "checkpoint", 300, False),
        (0.1, "checkpoint", 601, True),
    ],
)
def test_a_worker_is_stalled_by_the_measure_of_its_steps(
    step_s: float, phase: str, stood_s: float, is_stalled: bool
) -> None:
    pace = Pace()
    for step in range(10):
        pace.stalled_s(step, "compute", step * step_s)

    stalled_s = pace.stalled_s(9, phase, 9 * step_s + stood_s)

    assert (stalled_s > 0) == is_stalled


def record(rank: int, ticks: int, *, is_waiting: bool = False, step: int = 9) -> BeatRecord:
    return BeatRecord(1, 100 + rank, step, ticks, is_waiting, "compute", "node")


def stall(*moments: dict[int, BeatRecord]) -> list[str | None]:
    """Look at beats that are 35 s apart."""
    watch = StallWatch(Path("run"))
    return [watch.look(beats, now * 35.0) for now, beats in enumerate(moments)]


def test_a_silent_worker_is_named_and_who_waits_for_it() -> None:
    said = stall(
        {0: record(0, 1), 1: record(1, 1)},
        {0: record(0, 30, is_waiting=True), 1: record(1, 1)},
        {0: record(0, 60, is_waiting=True), 1: record(1, 1)},
        {0: record(0, 90, is_waiting=True), 1: record(1, 1)},
    )

    assert said[:2] == [None, None]
    assert said[2] == (
        "no new step for 70 s after step 9; the worker of rank 1 (process 101) is silent: it is "
        "stopped, or hangs without giving way; rank 0 waits for rank 1"
    )
    assert said[3] is None, "it is said once"


def test_a_busy_worker_is_named_with_its_log() -> None:
    said = stall(
        {0: record(0, 1), 1: record(1, 1)},
        {0: record(0, 30), 1: record(1, 30, is_waiting=True)},
        {0: record(0, 60), 1: record(1, 60, is_waiting=True)},
    )

    assert said[2] == (
        "no new step for 70 s after step 9; the worker of rank 0 is busy (compute); its stack is "
        "in run/logs/rank-0.txt; rank 1 waits for rank 0"
    )

"""A trial that hangs: when it is said to, who ends it, and what is told of it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distrain.errors import TrainError
from distrain.train import beat as beat_module
from distrain.train.beat import LOG_FOLDER, Beat, BeatRecord, beating, read_beats
from distrain.tune import hangs
from distrain.tune.hangs import GRACE_S, HangWatch, hang_error, last_word, leave_last_word, pace_of
from distrain.tune.trials import fields_of

TIMEOUT_S = 300.0
WORD = fields_of(TrainError("it hangs"))
Ended = list[tuple[BeatRecord, TrainError]]
Popen = subprocess.Popen[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0003" / LOG_FOLDER).mkdir(parents=True)
    return tmp_path / "0003"


@pytest.fixture
def beat(folder: Path) -> Iterator[Beat]:
    with beating(folder, 0, attempt=2, node="") as tell:
        yield tell


@pytest.fixture
def ended() -> Ended:
    return []


@pytest.fixture
def watch(ended: Ended) -> HangWatch:
    return HangWatch(TIMEOUT_S, lambda _folder, *told: ended.append(told))


@pytest.fixture
def native() -> Iterator[Popen]:
    with subprocess.Popen([sys.executable, "-c", NATIVE], stdout=-1, stderr=-1, text=True) as there:
        assert there.stdout is not None
        assert there.stdout.readline() == "hangs\n"
        yield there
        there.kill()


@contextlib.contextmanager
def beating_for(process: Popen, folder: Path) -> Iterator[Beat]:
    """Tell in the place of another process that it is at step 7."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: process.pid)
        tell = stack.enter_context(beating(folder, 0, attempt=2, node=""))
        patch.undo()
        tell("compute", 7)
        yield tell


@pytest.mark.parametrize(
    ("timeout_s", "num_steps", "step_s", "phase", "limit_s"),
    [
        (300, 0, 0, "start", 300),
        (300, 0, 0, "compute", 300),
        (300, 3, 0.1, "compute", 300),
        (300, 3, 20, "data", 400),
        (300, 0, 0, "evaluate", 3000),
        (300, 3, 0.1, "evaluate", 3000),
        (300, 3, 0.1, "checkpoint", 3000),
        (20, 0, 0, "start", 20),
        (20, 3, 0.1, "compute", 20),
        (20, 3, 10, "compute", 200),
    ],
)
def test_how_long_a_trial_may_take_follows_from_its_steps(
    timeout_s: float, num_steps: int, step_s: float, phase: str, limit_s: float
) -> None:
    pace = pace_of(timeout_s)
    for step in range(num_steps):
        pace.stalled_s(step, "compute", step * step_s)

    assert pace.limit_s(phase) == pytest.approx(limit_s)


def test_a_trial_that_waits_for_its_answer_does_not_hang() -> None:
    pace = pace_of(TIMEOUT_S)
    pace.stalled_s(4, "evaluate", 0)

    assert pace.stalled_s(4, "wait", 1_000) == 0
    assert pace.stalled_s(4, "evaluate", 1_001) == 0
    assert pace.stalled_s(4, "evaluate", 4_001) == 3_001


@pytest.mark.parametrize("phase", ["start", "evaluate", "checkpoint"])
def test_what_took_long_rightly_leaves_the_next_step_its_time(phase: str) -> None:
    pace = pace_of(TIMEOUT_S)
    pace.stalled_s(4, phase, 0)
    pace.stalled_s(4, phase, 290)

    assert pace.stalled_s(4, "compute", 291) == 0
    assert pace.stalled_s(4, "compute", 591) == 0
    assert pace.stalled_s(4, "compute", 592) == 301


@pytest.mark.parametrize("phase", ["start", "wait"])
def test_a_trial_that_finds_its_step_has_made_none(phase: str) -> None:
    pace = pace_of(TIMEOUT_S)
    pace.stalled_s(0, phase, 0)
    pace.stalled_s(500, "start", 40_000)

    assert pace.limit_s("compute") == TIMEOUT_S
    pace.stalled_s(501, "compute", 40_020)
    assert pace.limit_s("compute") == TIMEOUT_S
    pace.stalled_s(502, "compute", 40_040)
    assert pace.limit_s("compute") == 400


def test_the_driver_ends_what_hangs_once_it_could_have_ended_itself(
    folder: Path, beat: Beat, watch: HangWatch, ended: Ended
) -> None:
    beat("compute", 7)
    running = [(folder, 2)]
    watch.look(running, 0)
    watch.look(running, TIMEOUT_S + 1)
    assert ended == []

    watch.look(running, TIMEOUT_S + 1 + GRACE_S)

    ((told, word),) = ended
    assert (told.process, told.step) == (os.getpid(), 7)
    assert last_word(folder) is None, "not before it is ended"
    assert (word.cause, word.error_class) == ("user", "hangs")
    assert str(word) == (
        "trial 0003, after step 7: the trial hangs: no step for 306 s (compute). Expected a step "
        f"within 300 s. Its stacks are in {folder}/logs/rank-0.txt. Where a trial may take so "
        "long, raise cluster.collective_timeout_s."
    )


def test_the_driver_does_not_ask_again_at_once(
    folder: Path, beat: Beat, watch: HangWatch, ended: Ended
) -> None:
    beat("compute", 7)
    for now in (0.0, 301.0, 306.0, 308.0, 310.0):
        watch.look([(folder, 2)], now)
    assert len(ended) == 1

    watch.look([(folder, 2)], 311.0)

    assert len(ended) == 2


@pytest.mark.parametrize("running", [[], [3]])
def test_what_an_earlier_attempt_told_last_ends_nothing(
    folder: Path, beat: Beat, watch: HangWatch, ended: Ended, running: list[int]
) -> None:
    beat("compute", 7)
    watch.look([(folder, 2)], 0)
    for now in (301.0, 310.0, 320.0):
        watch.look([(folder, attempt) for attempt in running], now)

    assert ended == []


def test_a_trial_that_goes_on_in_time_is_left_alone(
    folder: Path, beat: Beat, watch: HangWatch, ended: Ended
) -> None:
    for step in range(5):
        beat("compute", step)
        watch.look([(folder, 2)], step * 290.0)

    assert ended == []


def test_without_a_last_word_nothing_is_told(folder: Path) -> None:
    assert last_word(folder) is None


def test_a_last_word_is_read_as_it_was_left(folder: Path, beat: Beat) -> None:
    told = hang_error(folder, read_beats(folder), 61.2, 60.0)
    leave_last_word(folder, told)

    assert str(last_word(folder)) == str(told)


def test_what_has_gone_on_by_then_is_left_alone(folder: Path, beat: Beat) -> None:
    beat("compute", 7)
    hung = read_beats(folder)[0]
    beat("compute", 8)

    hangs._end(folder, hung, WORD)  # else it would end this process

    assert last_word(folder) is None


def test_another_process_with_the_number_of_one_that_hung_is_left_alone(
    folder: Path, native: Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat_module, "start_time_of", lambda _: 1)
    with beating_for(native, folder):
        hangs._end(folder, read_beats(folder)[0], WORD)

    assert native.poll() is None
    assert last_word(folder) is None


def test_what_goes_on_while_its_stacks_are_written_is_left_alone(
    folder: Path, native: Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beating_for(native, folder) as tell:
        monkeypatch.setattr(time, "sleep", lambda _: tell("compute", 8))

        hangs._end(folder, read_beats(folder)[0], WORD)

    monkeypatch.undo()
    assert native.poll() is None
    assert last_word(folder) is None


@pytest.mark.parametrize(("waiting", "rank"), [([0], 1), ([1], 0), ([0, 1], 0), ([], 0)])
def test_the_worker_that_the_others_wait_for_is_named(
    folder: Path, waiting: list[int], rank: int
) -> None:
    told = {
        one: BeatRecord(2, 100 + one, 7, 9, one in waiting, "compute", "node") for one in range(2)
    }

    error = hang_error(folder, told, 306, TIMEOUT_S)

    assert error.where == f"trial 0003, worker of rank {rank}, after step 7"
    assert f"logs/rank-{rank}.txt" in error.mend


@pytest.mark.slow
def test_native_code_that_hangs_is_ended_after_its_stacks(folder: Path, native: Popen) -> None:
    with beating_for(native, folder):
        hangs._end(folder, read_beats(folder)[0], WORD)

    assert str(last_word(folder)) == "it hangs."
    assert "in hang" in native.communicate()[1]
    assert native.returncode == -signal.SIGKILL


NATIVE = """
import ctypes, sys
from pathlib import Path
from distrain.tune.hangs import show_stacks_when_asked
show_stacks_when_asked()
def hang():
    print("hangs", flush=True)
    mutex, lib = ctypes.create_string_buffer(64), ctypes.PyDLL(None)
    for _ in range(2):
        lib.pthread_mutex_lock(mutex)
hang()
"""
ASLEEP = """
import time
from pathlib import Path
from distrain.tune.hangs import watched
from distrain.train.beat import beating
def hang():
    time.sleep(60)
with beating(Path("."), 0, attempt=1, node="") as beat, watched(Path("."), 1, 0.5):
    hang()
"""


@pytest.mark.slow
def test_a_process_ends_itself_with_its_stacks_and_a_last_word(folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ASLEEP], cwd=folder, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 70
    assert "in hang" in ended.stderr
    word = last_word(folder)
    assert word is not None
    assert word.message.startswith("the trial hangs: no step for ")

"""A trial that hangs: found by its beats, its process ended, and told of as failed.

    in its process, a thread   no step for too long: leave a last word and the stacks, and end it
    in the driver, another     the same, some seconds later: the process is stopped, or hangs in
                               native code that lets no thread run, so somebody else has to end it

Too long is `cluster.collective_timeout_s`, or 20 times the median step where that is more; what
rightly takes long, an evaluation or a checkpoint, may take ten times that. While a trial waits for
the driver's answer, it does not hang.
"""

import contextlib
import faulthandler
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any, Final, final

from distrain.background import in_background
from distrain.errors import DistrainError, TrainError
from distrain.object_store.link import shown
from distrain.process import start_time_of
from distrain.train.beat import LOG_FOLDER, TICK_S, BeatRecord, Pace, read_beats
from distrain.tune.host import (
    folder_here,
    hear_others,
    keep_logs,
    tell_others,
    trial_at_store,
)
from distrain.tune.trials import error_of, fields_of

LAST_WORD: Final = "last-word.json"
"""Below a trial's folder: why its process is about to end."""
LOG: Final = "rank-{rank}.txt"
GRACE_S: Final = 5.0
"""How long a process has to end itself, before the driver does."""
_HUNG_EXIT: Final = 70
_STACKS_S: Final = 1.0

Running = tuple[Path, int]
"""A trial's folder, and which attempt at it runs."""

logger = logging.getLogger(__name__)


def pace_of(timeout_s: float) -> Pace:
    """Return what tells when a trial hangs.

    Args:
        timeout_s: `cluster.collective_timeout_s`.
    """
    return Pace(stall_s=timeout_s, start_s=timeout_s)


def show_stacks_when_asked() -> None:
    """Have all stacks of this process written to its log on SIGUSR1, whatever its threads do."""
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)


@contextlib.contextmanager
def watched(folder: Path, attempt: int, timeout_s: float) -> Iterator[None]:
    """End this process where its trial hangs, for the length of a `with` block.

    Args:
        folder: the trial's.
        attempt: which one at it this is.
        timeout_s: `cluster.collective_timeout_s`.
    """

    def watch(has_ended: Event) -> None:
        pace = pace_of(timeout_s)
        while not has_ended.wait(TICK_S):
            beats = read_beats(folder, attempt)
            beat = beats.get(0)
            stood_s = pace.stalled_s(beat.step, beat.phase, time.monotonic()) if beat else 0.0
            if beat and stood_s:
                error = hang_error(folder, beats, stood_s, pace.limit_s(beat.phase))
                with contextlib.suppress(OSError):  # then it is told as a process that died
                    leave_last_word(folder, error)
                faulthandler.dump_traceback(2)
                try:
                    keep_logs(folder)
                finally:
                    os._exit(_HUNG_EXIT)

    with in_background(watch, "trial-watch"):
        yield


@final
class HangWatch:
    """The driver's eye on trials whose processes do not end themselves though they hang.

    Args:
        timeout_s: `cluster.collective_timeout_s`.
        end: ends a process, given its trial's folder, what it told last, and what is told of it.
    """

    def __init__(
        self, timeout_s: float, end: Callable[[Path, BeatRecord, TrainError], None]
    ) -> None:
        self._timeout_s = timeout_s
        self._end = end
        self._paces: dict[Running, Pace] = {}
        self._hangs_since: dict[Running, float] = {}

    def look(self, running: Iterable[Running], now: float) -> None:
        """End what hangs of the running trials.

        Args:
            running: the attempts that run.
            now: seconds of a clock that never goes back.
        """
        kept = set(running)
        self._paces = {one: self._paces.get(one) or pace_of(self._timeout_s) for one in kept}
        self._hangs_since = {one: s for one, s in self._hangs_since.items() if one in kept}
        for one in kept:
            self._look_at(one, now)

    def _look_at(self, running: Running, now: float) -> None:
        folder, attempt = running
        beats = read_beats(folder, attempt)
        beat = beats.get(0)
        if beat is None:  # it has not begun, or waits for a place
            return
        pace = self._paces[running]
        stood_s = pace.stalled_s(beat.step, beat.phase, now)
        if not stood_s:
            self._hangs_since.pop(running, None)
        elif now - self._hangs_since.setdefault(running, now) >= GRACE_S:
            self._hangs_since[running] = now
            self._end(folder, beat, hang_error(folder, beats, stood_s, pace.limit_s(beat.phase)))


@contextlib.contextmanager
def watching_for_hangs(running: Callable[[], list[Running]], timeout_s: float) -> Iterator[None]:
    """End trials that hang, from a thread of the driver, for the length of a `with` block.

    Args:
        running: returns the attempts that run.
        timeout_s: `cluster.collective_timeout_s`.
    """
    eye = HangWatch(timeout_s, end_process)

    def watch(has_ended: Event) -> None:
        while not has_ended.wait(TICK_S):
            try:
                eye.look(running(), time.monotonic())
            except Exception:  # logged with its traceback; the next look follows
                logger.warning("a look at the trials failed; the next one follows", exc_info=True)

    with in_background(watch, "hang-watch"):
        yield


def end_process(folder: Path, beat: BeatRecord, error: TrainError) -> None:
    """Have a process write its stacks to its log and be killed, by a task on its node.

    Args:
        folder: its trial's.
        beat: what it told last; where it tells something else by then, it is left alone.
        error: its last word.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(beat.node, soft=False)
    task = ray.remote(_end).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    task.remote(folder, beat, fields_of(error), trial_at_store(folder))


def _end(
    folder: Path,
    beat: BeatRecord,
    word: Mapping[str, str] | None,
    store: Mapping[str, Any] | None = None,
) -> None:
    with (
        contextlib.suppress(ProcessLookupError),  # it has ended meanwhile
        folder_here(folder, store) as folder,
    ):
        if not _still_tells(folder, beat):
            return
        os.kill(beat.process, signal.SIGUSR1)
        time.sleep(_STACKS_S)
        if not _still_tells(folder, beat):
            return
        # Not before: whoever goes on, or dies of something else, is not to be told as one that
        # hangs. Where the disk is full or away, it is told as a process that was killed.
        with contextlib.suppress(OSError):
            (folder / LAST_WORD).write_text(json.dumps(word), encoding="utf-8")
            tell_others(folder, LAST_WORD)
        os.kill(beat.process, signal.SIGKILL)
        keep_logs(folder)


def _still_tells(folder: Path, beat: BeatRecord) -> bool:
    """Return whether a process is where it was, and none that has its number by now."""
    now = read_beats(folder, beat.attempt).get(0)
    if now is None or start_time_of(beat.process) != beat.started:
        return False
    told, still = ((one.process, one.started, one.step, one.phase) for one in (beat, now))
    return told == still


def hang_error(
    folder: Path, beats: Mapping[int, BeatRecord], stood_s: float, limit_s: float
) -> TrainError:
    """Return the error of a trial that hangs, which names the worker that the others wait for.

    Args:
        folder: the trial's.
        beats: what its workers told last, by rank.
        stood_s: seconds since its last step.
        limit_s: seconds that it could have taken.
    """
    rank = min((one for one, beat in beats.items() if not beat.is_waiting), default=0)
    beat = beats[rank]
    worker = f", worker of rank {rank}" if len(beats) > 1 else ""
    return TrainError(
        f"the trial hangs: no step for {stood_s:.0f} s ({beat.phase})",
        where=f"trial {folder.name}{worker}, after step {beat.step}",
        expected=f"a step within {limit_s:.0f} s",
        mend=f"Its stacks are in {shown(folder / LOG_FOLDER / LOG.format(rank=rank))}. Where a "
        "trial may take so long, raise cluster.collective_timeout_s",
        cause="user",
        error_class="hangs",
    )


def leave_last_word(folder: Path, error: DistrainError) -> None:
    """Leave for the driver why a trial's process is about to end.

    Args:
        folder: the trial's.
        error: why, with its cause and class.
    """
    (folder / LAST_WORD).write_text(json.dumps(fields_of(error)), encoding="utf-8")
    tell_others(folder, LAST_WORD)


def last_word(folder: Path) -> DistrainError | None:
    """Return why a trial's process has ended; None: no word was left.

    Args:
        folder: the trial's.
    """
    hear_others(folder, LAST_WORD)
    try:
        fields = json.loads((folder / LAST_WORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return error_of(fields)

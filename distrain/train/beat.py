"""What a worker tells of itself while it trains: where it is, and whether it still runs.

    <run>/logs/beat-rank-<k>

The file is mapped into memory: telling costs a microsecond, and the kernel keeps the last word of a
worker that was killed, so that whoever looks knows the very step. A thread of the worker counts
ticks beside it; a worker whose ticks stand still is stopped, or hangs without giving way. The same
thread writes all Python stacks to the worker's log when no step has come for long.
"""

import faulthandler
import mmap
import os
import statistics
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from distrain.process import start_time_of

LOG_FOLDER: Final = "logs"
TICK_S: Final = 1.0
STALL_S: Final = 60.0
STALL_STEPS: Final = 20.0
"""A worker is stalled without a new step for 60 s, and for 20 times the median step."""
WAITING: Final = "wait"
"""The phase of a trial that waits for the driver's answer, however long that takes."""
# What rightly takes long between two steps.
PATIENT_PHASES: Final = ("start", "evaluate", "checkpoint")
PATIENCE: Final = 10.0

_AT_REST: Final = ("start", WAITING)
_NAME: Final = "beat-rank-{rank}"
# attempt, process, step, ticks, whether it waits for others; phase; Ray's id of the node; when the
# process began
_RECORD: Final = struct.Struct("<5q16s64sq")
_POSITION: Final = struct.Struct("<q")
_STEP_AT: Final = 16
_TICKS_AT: Final = 24
_PHASE_AT: Final = 40
_PHASE_BYTES: Final = 16
_WAITING_IN: Final = frozenset(
    {
        "distrain.train.bells",
        "distrain.train.collective",
        "distrain.train.levels",
        "distrain.train.shared_memory",
        "torch.distributed.distributed_c10d",
    }
)


@final
@dataclass(frozen=True)
class BeatRecord:
    """What a worker last told.

    Attributes:
        attempt: which attempt at the run it belongs to, from 1.
        process: its process id.
        step: committed optimizer steps.
        ticks: seconds that its process has run, about.
        is_waiting: whether it waits for other workers.
        phase: `start`, `data`, `compute`, `evaluate` or `checkpoint`; of a trial `wait`, too.
        node: Ray's id of its node.
        started: when its process began, in clock ticks since boot; None: the system does not tell.
    """

    attempt: int
    process: int
    step: int
    ticks: int
    is_waiting: bool
    phase: str
    node: str
    started: int | None = None


@final
class Pace:
    """Tells when a worker has been at one step for too long.

    Args:
        stall_s: seconds that are never too long.
        start_s: seconds that are not before training begins; None: as in other long phases.
    """

    def __init__(self, stall_s: float | None = None, start_s: float | None = None) -> None:
        self._stall_s = STALL_S if stall_s is None else stall_s
        self._start_s = start_s
        self._step = -1
        self._phase = ""
        self._since: float | None = None
        self._steps_s: deque[float] = deque(maxlen=101)

    def stalled_s(self, step: int, phase: str, now: float) -> float:
        """Take in where a worker is; return how long it has been stalled, 0 if it is not.

        Args:
            step: committed optimizer steps.
            phase: what it does.
            now: seconds of a clock that never goes back.
        """
        if self._since is None or step != self._step:
            # What began, or waited, may have been elsewhere: at step 0, before it found its own.
            if self._since is not None and step > self._step and self._phase not in _AT_REST:
                self._steps_s.append((now - self._since) / (step - self._step))
            self._step, self._since, self._phase = step, now, phase
            return 0.0
        # What took long, and rightly so, does not count for what comes after it at the same step.
        if phase == WAITING or (self._phase in PATIENT_PHASES and phase not in PATIENT_PHASES):
            self._since = now
        self._phase = phase
        stood_s = now - self._since
        return stood_s if stood_s > self.limit_s(phase) else 0.0

    def limit_s(self, phase: str) -> float:
        """Return how many seconds a worker may be at one step now, while it does what it does."""
        if phase == "start" and self._start_s is not None:
            return self._start_s
        median_s = statistics.median(self._steps_s) if self._steps_s else 0.0
        limit_s = max(self._stall_s, STALL_STEPS * median_s)
        return limit_s * (PATIENCE if phase in PATIENT_PHASES else 1.0)


@final
class Beat:
    """A worker's side; use `beating`.

    Args:
        memory: where the record is kept.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory

    def __call__(self, phase: str, step: int) -> None:
        """Tell what is done now, after so many committed steps."""
        _POSITION.pack_into(self._memory, _STEP_AT, step)
        self._memory[_PHASE_AT : _PHASE_AT + _PHASE_BYTES] = phase.encode().ljust(_PHASE_BYTES)

    def rest(self) -> None:
        """Tell that somebody else is waited for, with steps as they are."""
        self._memory[_PHASE_AT : _PHASE_AT + _PHASE_BYTES] = WAITING.encode().ljust(_PHASE_BYTES)

    def tick(self, *, is_waiting: bool) -> BeatRecord:
        """Count a tick, say whether others are waited for, and return the record."""
        record = _read(self._memory)
        ticks = struct.pack("<qq", record.ticks + 1, is_waiting)
        self._memory[_TICKS_AT:_PHASE_AT] = ticks
        self._memory.flush()  # a network file system shows it elsewhere only then
        return record


@contextmanager
def beating(run_dir: Path, rank: int, *, attempt: int, node: str) -> Iterator[Beat]:
    """Tell where the calling thread is, from within a `with` block.

    Args:
        run_dir: the run's folder.
        rank: the worker's.
        attempt: which attempt at the run this is, from 1.
        node: Ray's id of this node; empty: unknown.
    """
    memory = _map(run_dir / LOG_FOLDER / _NAME.format(rank=rank))
    phase = b"start".ljust(_PHASE_BYTES)
    process, started = os.getpid(), start_time_of(os.getpid()) or 0
    _RECORD.pack_into(memory, 0, attempt, process, 0, 0, 0, phase, node.encode(), started)
    beat = Beat(memory)
    has_ended = threading.Event()
    thread = threading.Thread(
        target=_tick, args=(beat, threading.get_ident(), has_ended), name="beat", daemon=True
    )
    thread.start()
    try:
        yield beat
    finally:
        has_ended.set()
        thread.join()
        memory.close()


def read_beats(run_dir: Path, attempt: int | None = None) -> dict[int, BeatRecord]:
    """Return what the workers of an attempt, or of the last one, have told last, by rank."""
    found: dict[int, BeatRecord] = {}
    for path in (run_dir / LOG_FOLDER).glob(_NAME.format(rank="*")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # removed for another attempt meanwhile
        if len(content) >= _RECORD.size:
            record = _read(content)
            if attempt in (None, record.attempt):
                found[int(path.name.rpartition("-")[2])] = record
    return found


def remove_beats(run_dir: Path) -> None:
    """Remove what was told; the workers that told it must have ended."""
    for path in (run_dir / LOG_FOLDER).glob(_NAME.format(rank="*")):
        path.unlink(missing_ok=True)


def last_step(beats: Mapping[int, BeatRecord]) -> int | None:
    """Return the committed steps of the worker that is furthest; None where nobody told any."""
    return max((record.step for record in beats.values()), default=None)


def _map(path: Path) -> mmap.mmap:
    """Return the file as memory; where it cannot be mapped, memory that nobody else sees."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        # Without room of its own, a full disk would end the worker with SIGBUS later.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, _RECORD.size)
        os.ftruncate(descriptor, _RECORD.size)
        return mmap.mmap(descriptor, _RECORD.size)
    except OSError:
        return mmap.mmap(-1, _RECORD.size)
    finally:
        os.close(descriptor)


def _read(content: bytes | mmap.mmap) -> BeatRecord:
    fields = _RECORD.unpack_from(content)
    attempt, process, step, ticks, is_waiting, phase, node, started = fields
    return BeatRecord(
        attempt=attempt,
        process=process,
        step=step,
        ticks=ticks,
        is_waiting=bool(is_waiting),
        phase=phase.decode().strip(),
        node=node.rstrip(b"\0").decode(),
        started=started or None,
    )


def _tick(beat: Beat, trainer: int, has_ended: threading.Event) -> None:
    pace = Pace()
    shown_step = -1
    while not has_ended.wait(TICK_S):
        record = beat.tick(is_waiting=_is_waiting(trainer))
        is_stalled = pace.stalled_s(record.step, record.phase, time.monotonic()) > 0
        if is_stalled and record.step != shown_step:
            shown_step = record.step
            print(  # noqa: T201 - to the worker's log, above the stacks
                f"no step since step {record.step} ({record.phase}); the stacks of this worker:",
                file=sys.stderr,
                flush=True,
            )
            faulthandler.dump_traceback(2)


def _is_waiting(thread: int) -> bool:
    """Return whether a thread is within an exchange between workers."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_globals.get("__name__") in _WAITING_IN:
            return True
        frame = frame.f_back
    return False

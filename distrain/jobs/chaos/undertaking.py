"""A `distrain train` under way on a cluster, seen through the beats of its workers."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, final

from distrain.errors import TrainError
from distrain.jobs.sessions import end_session, start_session
from distrain.run_folder import JOURNAL
from distrain.track.journal_reading import written_by
from distrain.train.beat import BeatRecord, read_beats

# Not `-m`, which would put the working directory first among the folders to import from.
DISTRAIN: Final = (sys.executable, "-P", "-c", "from distrain.cli import main; main()")
TIMEOUT_S: Final = 300.0
POLL_S: Final = 0.02
_TOLD_CHARACTERS: Final = 3000

Beats = Mapping[int, BeatRecord]


class Tracking(Protocol):
    """The server that a run is recorded at."""

    def launch(self) -> None:
        """Start it; it answers some seconds later."""

    def wait(self) -> None:
        """Wait until it answers."""

    def stop(self) -> None:
        """End it at once."""


@final
@dataclass(frozen=True)
class Injected:
    """A fault that was put into a run, and what it cost.

    Attributes:
        name: what it was.
        step: committed steps of the workers when it came.
        recovery_s: seconds from the fault until a step beyond them was committed.
        steps_lost: steps that were computed again.
        num_workers: workers before and after.
    """

    name: str
    step: int
    recovery_s: float
    steps_lost: int
    num_workers: tuple[int, int]


@final
class Undertaking:
    """A run, to which something is done; its commands are `train` and, afterwards, `resume`.

    Args:
        folder: takes what its commands tell.
        runs: the folder that its run is made in: `<storage>/<name>`; it holds no other.
        words: the command that begins it, `train`, a configuration and overrides.
        environment: variables of its commands.
        tracking: the server that it is recorded at; None: one that stays.
        command: what its command lines begin with.
    """

    def __init__(
        self,
        folder: Path,
        runs: Path,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        tracking: Tracking | None = None,
        command: Sequence[str | Path] = DISTRAIN,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.injected: list[Injected] = []
        self.tracking = tracking
        self._errors = folder / "stderr.txt"
        self._runs = runs
        self._environment = environment
        self._command = command
        self._started: list[subprocess.Popen[str]] = []
        self.start(*words)

    @property
    def run_dir(self) -> Path | None:
        """Return the run's folder, once there is one."""
        found = sorted(self._runs.glob("*-*"))
        return found[-1] if found else None

    @property
    def made(self) -> Path:
        """Return the run's folder.

        Raises:
            TrainError: there is none yet.
        """
        if self.run_dir is None:
            raise self._failed("there is no folder of the run yet")
        return self.run_dir

    def start(self, *words: str) -> None:
        """Start a command."""
        with self._errors.open("a") as errors:
            self.process = start_session(
                [*self._command, *words, "--json"],
                self._environment,
                errors=errors,
                output=subprocess.PIPE,
            )
        self._started.append(self.process)

    def resume(self) -> None:
        """Go on with the run by a new command, which asks for its server first."""
        if self.tracking is not None:
            self.tracking.wait()
        self.start("resume", str(self.made))

    def beats(self) -> dict[int, BeatRecord]:
        """Return what the workers told last, by rank; nothing where they are not training.

        A worker that is cut off may still tell of itself: it is of an earlier attempt.
        """
        beats = read_beats(self.run_dir) if self.run_dir else {}
        newest = max((beat.attempt for beat in beats.values()), default=0)
        beats = {rank: beat for rank, beat in beats.items() if beat.attempt == newest}
        ready = beats and all(beat.phase != "start" for beat in beats.values())
        return beats if ready else {}

    def wait_for(self, what: Callable[[Beats], bool]) -> Beats:
        """Wait until the workers' beats are such; return them.

        Raises:
            TrainError: the run ends before, or that takes too long.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            beats = self.beats()
            if beats and what(beats):
                return beats
            if self.process.poll() is not None:
                raise self._failed("the run ended before the fault was over")
            time.sleep(POLL_S)
        raise self._failed(f"nothing came of it for {TIMEOUT_S:.0f} s")

    def wait_for_step(self, step: int) -> Beats:
        """Wait until so many steps are committed."""
        return self.wait_for(lambda beats: step_of(beats) >= step)

    def inject(self, name: str, fault: Callable[[Beats], object]) -> Injected:
        """Put a fault in, and wait until the run is beyond it with a new group of workers.

        Args:
            name: what it is.
            fault: does it; gets what the workers told last.

        Raises:
            TrainError: the run does not go on.
        """
        before = self.wait_for_step(0)
        num_starts = len(self._starts())
        old, last, started = _processes(before), step_of(before), time.monotonic()

        def is_another_group(beats: Beats) -> bool:
            nonlocal last
            if not old & _processes(beats):
                return True
            last = max(last, step_of(beats))
            return False

        # Some faults take a while, and the last word of the old group does not stay for long. The
        # fault is in the main thread: what it starts ends with the thread that started it.
        is_done = threading.Event()

        def keep_looking() -> None:
            while not is_done.wait(POLL_S):
                is_another_group(self.beats() or before)

        looking = threading.Thread(target=keep_looking)
        looking.start()
        try:
            fault(before)
        finally:
            is_done.set()
            looking.join()
        # A step takes them all, so that beyond it the group is whole, and its start written down.
        self.wait_for(is_another_group)
        group = self.wait_for(
            lambda beats: step_of(beats) > last and len(self._starts()) > num_starts
        )
        return self._note(name, before, group, last, started)

    def endure(self, name: str, fault: Callable[[Beats], object]) -> Injected:
        """Put a fault in that the group of workers lives through, and wait for its next step.

        Args:
            name: what it is.
            fault: does it; gets what the workers told last.

        Raises:
            TrainError: the run does not go on.
        """
        before = self.wait_for_step(0)
        num_starts = len(self._starts())
        started = time.monotonic()
        fault(before)
        group = self.wait_for_step(step_of(before) + 1)
        has_restarted = len(self._starts()) > num_starts
        last = step_of(before) if has_restarted else None
        return self._note(name, before, group, last, started)

    def _note(
        self, name: str, before: Beats, group: Beats, last: int | None, started: float
    ) -> Injected:
        """Keep what a fault has cost; `last` is the step before it, None: no group began anew."""
        injected = Injected(
            name,
            step_of(before) if last is None else last,
            round(time.monotonic() - started, 1),
            0 if last is None else last - self._starts()[-1],
            (len(before), len(group)),
        )
        self.injected.append(injected)
        return injected

    def end(self) -> dict[str, Any]:
        """Wait for the end and return the result.

        Raises:
            TrainError: it does not end, or says nothing.
        """
        try:
            out, _ = self.process.communicate(timeout=2 * TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"it did not end within {2 * TIMEOUT_S:.0f} s") from error
        if not out.strip():
            raise self._failed("it ended without a result")
        result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        return result

    def signal(self, number: signal.Signals) -> int:
        """Send the driver a signal and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(TIMEOUT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def abandon(self) -> None:
        """End its commands and what they have started, if they have not ended."""
        while self._started:
            end_session(self._started.pop())

    def told(self) -> str:
        """Return the end of what the commands told."""
        text = self._errors.read_text(encoding="utf-8", errors="replace")
        return text.strip()[-_TOLD_CHARACTERS:]

    def _starts(self) -> list[int]:
        """Return the steps that training has gone on from."""
        journal = written_by("rank0", self.made / JOURNAL)
        return [record.payload["step"] for record in journal if record.kind == "start"]

    def _failed(self, message: str) -> TrainError:
        return TrainError(
            f"{message}; its command told: {self.told() or 'nothing'}",
            where=f"the run at {self.beats() or 'no step'}",
        )


def step_of(beats: Beats) -> int:
    """Return the committed steps of the worker that is furthest."""
    return max(beat.step for beat in beats.values())


def _processes(beats: Beats) -> set[int]:
    return {beat.process for beat in beats.values()}

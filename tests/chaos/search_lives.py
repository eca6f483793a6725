"""The drivers of one search, one after the other, each killed where it is wanted.

A driver is a real `distrain tune` or `distrain resume`, with a Ray of its own. It alone is killed:
what it has started must end by itself, and is looked for by a mark in its environment.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from distrain.run_folder import JOURNAL
from distrain.track.journal_reading import read_journal
from tests.leftovers import MARK, end_marked, wait_until_gone

DISTRAIN = Path(sys.executable).with_name("distrain")
REPOSITORY = Path(__file__).parents[2]
NAME = "kills"
TIMEOUT_S = 600.0
LEAVE_S = 10.0
LOOK_S = 0.002

Phase = Literal["start-up", "suggestion", "running", "pausing", "between", "winner", "over"]
Event = Mapping[str, Any]


@final
class Standing:
    """How far a search is, by its event log as it grows.

    Args:
        num_trials: how many it has.
    """

    def __init__(self, num_trials: int) -> None:
        self.events: list[Event] = []
        self.num: Counter[str] = Counter()
        self.num_drivers = 0
        self._num_trials = num_trials
        self._until: dict[int, int | None] = {}
        self._running: dict[int, bool] = {}

    @property
    def num_pausing(self) -> int:
        """Return how many trials are at their rung and have not saved their state yet."""
        return sum(self._running.values())

    def take(self, event: Event) -> None:
        """Take in an event."""
        self.events.append(event)
        kind, trial = event["event"], event.get("trial", -1)
        self.num[kind] += 1
        if kind == "began":
            self.num_drivers += 1
            self._running.clear()  # what ran under the driver before runs no more
        elif kind == "started":
            self._until[trial], self._running[trial] = event["until"], False
        elif kind == "reported" and trial in self._running:
            until = self._until[trial]
            self._running[trial] = until is not None and event["time"] >= until
        elif kind in ("paused", "ended", "lost"):
            self._running.pop(trial, None)

    def phase(self, *, has_begun: bool) -> Phase:
        """Return what a driver is doing, given whether it has logged that it began."""
        if not has_begun:
            return "start-up"
        if self.num["suggested"] < self._num_trials:
            return "suggestion"
        if self.num["won"]:
            return "winner"
        if self.num_pausing:
            return "pausing"
        if self._running:
            return "running"
        return "over" if self.num["ended"] == self._num_trials else "between"


@final
@dataclass(frozen=True)
class Killed:
    """A driver that was killed.

    Attributes:
        phase: what it was doing.
        life_s: seconds since its start.
        num_reports: reports in the log.
        leave_s: seconds until nothing was left of what it had started.
        left: command lines of what had to be ended after that.
    """

    phase: Phase
    life_s: float
    num_reports: int
    leave_s: float
    left: Sequence[str]


@final
class Lives:
    """A search, driver by driver. Call order: `start`, then `kill_when` or `end`, and again.

    Args:
        folder: where it works; all that it makes is below.
        num_trials: how many it has.
    """

    def __init__(self, folder: Path, num_trials: int) -> None:
        folder.mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("marked_net.py"), folder)
        self.folder = folder
        self.passes = folder / "passes.txt"
        text = json.dumps(_config(self.passes, num_trials))
        (folder / "kills.yaml").write_text(text, encoding="utf-8")
        self.drivers: list[int] = []
        self.standing = Standing(num_trials)
        self._mark = uuid.uuid4().hex
        self._run_dir: Path | None = None
        self._num_drivers_before = 0
        self._positions: dict[str, int] = {}

    @property
    def storage(self) -> Path:
        """Return where its runs are."""
        return self.folder / "runs"

    @property
    def run_dir(self) -> Path | None:
        """Return the search's folder, once it can be gone on with."""
        if self._run_dir is None:
            # The winner's is named after it, and comes behind it.
            found = sorted(self.storage.glob(f"{NAME}/*/started.json"))
            self._run_dir = found[0].parent if found else None
        return self._run_dir

    @property
    def has_begun(self) -> bool:
        """Return whether the present driver has logged that it began."""
        return self.standing.num_drivers > self._num_drivers_before

    def start(self) -> None:
        """Start the search, or go on with it."""
        words = ["tune", "kills.yaml"] if self.run_dir is None else ["resume", str(self.run_dir)]
        self._num_drivers_before = self.standing.num_drivers
        self._started = time.monotonic()
        with (self.folder / "stderr.txt").open("a") as errors:
            self._process = subprocess.Popen(
                [DISTRAIN, *words, "--json"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={
                    **{k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
                    "PYTHONPATH": str(REPOSITORY),
                    "RAY_TMPDIR": str(self.folder),
                    MARK: self._mark,
                },
            )
        self.drivers.append(self._process.pid)

    def kill_when(self, is_due: Callable[["Lives"], bool], delay_s: float) -> Killed | None:
        """Kill the driver some time after something is so; None: it came to its end before."""
        deadline = time.monotonic() + TIMEOUT_S
        while not is_due(self):
            if self._process.poll() is not None:
                return None
            assert time.monotonic() < deadline, f"waited in vain: {self.told()}"
            time.sleep(LOOK_S)
            self.look()
        time.sleep(delay_s)
        if self._process.poll() is not None:
            return None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        killed = time.monotonic()
        left = wait_until_gone(self._mark, LEAVE_S)
        leave_s = time.monotonic() - killed
        self.abandon()
        self.look()
        return Killed(
            phase=self.standing.phase(has_begun=self.has_begun),
            life_s=round(killed - self._started, 2),
            num_reports=self.standing.num["reported"],
            leave_s=round(leave_s, 2),
            left=left,
        )

    def end(self) -> dict[str, Any]:
        """Wait for the driver's end and return its result."""
        out, _ = self._process.communicate(timeout=TIMEOUT_S)
        self.look()
        assert out.strip(), self.told()
        result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        assert self._process.returncode == 0, result
        return result

    def life_s(self) -> float:
        """Return the seconds since the present driver's start."""
        return time.monotonic() - self._started

    def look(self) -> None:
        """Take in what has been logged since the last look."""
        if self.run_dir is None:
            return
        records, self._positions = read_journal(self.run_dir / JOURNAL, self._positions)
        for record in records:
            assert record.kind != "damaged", record
            if record.kind == "search":
                self.standing.take({**record.payload, "time_ms": record.time_ms})

    def abandon(self) -> None:
        """End the driver, and what it has started, where it has not ended."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        end_marked(self._mark)

    def told(self) -> str:
        """Return the end of what its commands told."""
        return (self.folder / "stderr.txt").read_text(encoding="utf-8")[-3000:]


def _config(passes: Path, num_trials: int) -> Mapping[str, Any]:
    return {
        "name": NAME,
        "seed": 3,
        "storage": "runs",
        "data": {
            "source": "sklearn:digits",
            "target": "target",
            "split": {"validation": 0.2, "test": 0.2},
        },
        "model": {"target": "marked_net:MarkedNet", "args": {"mark": 0, "width": 16}},
        "train": {"epochs": 9, "global_batch_size": 128, "num_workers": 1},
        "track": {"register": {"model": NAME, "alias": "champion"}},
        "cluster": {"env": {"MARKED_NET_LOG": str(passes), "MARKED_NET_PART_S": "0.01"}},
        "tune": {
            "num_trials": num_trials,
            "space": {
                "model.args.mark": {"randint": [1, 2**40]},
                "model.args.width": {"choice": [8, 16, 32]},
                "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
            },
            "scheduler": {"name": "sha", "reduction_factor": 3},
            "max_concurrent": 2,
        },
    }

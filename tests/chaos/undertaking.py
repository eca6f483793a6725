"""A `distrain train` under way on a cluster, seen through the beats of its workers."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import pyarrow.parquet as pq

from distrain.run_folder import JOURNAL
from distrain.track.journal_reading import written_by
from distrain.train.beat import BeatRecord, read_beats
from tests.mlflow_server import MlflowServer

TIMEOUT_S = 150.0
DISTRAIN = Path(sys.executable).with_name("distrain")


@final
@dataclass(frozen=True)
class Injected:
    """A fault that was put into a run, and what it cost.

    Attributes:
        name: what it was.
        step: committed steps of the workers that it ended.
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
    """A run of many slow steps; the same weights come out whatever is done to it.

    Args:
        folder: where it works; its storage is below.
        address: the cluster.
        settings: further settings as overrides of the command line.
        part_s: seconds that a part of a step takes at least.
        tracking: the server that it is recorded at; None: a database below its storage.
        prefix: what its command lines begin with.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        settings: Sequence[str],
        *,
        part_s: float,
        tracking: MlflowServer | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).with_name("slow_net.py"), folder)
        config = _config(part_s)
        (folder / "chaos.yaml").write_text(json.dumps(config), encoding="utf-8")
        self.folder = folder
        self.injected: list[Injected] = []
        self._address = address
        self.tracking = tracking
        self._prefix = prefix
        if tracking is not None:
            settings = [*settings, f"track.uri={tracking.tracking.uri}"]
        self.start("train", "chaos.yaml", f"cluster.address={address}", *settings)

    @property
    def run_dir(self) -> Path | None:
        """Return the run's folder, once there is one."""
        found = sorted((self.folder / "runs" / "chaos").glob("*-*"))
        return found[-1] if found else None

    def start(self, *words: str) -> None:
        """Start a command."""
        with (self.folder / "stderr.txt").open("a") as errors:
            self.process = subprocess.Popen(
                [*self._prefix, DISTRAIN, *words, "--json"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
            )

    def resume(self) -> None:
        """Go on with the run by a new command, which asks for its server first."""
        assert self.run_dir is not None
        if self.tracking is not None:
            self.tracking.wait()
        self.start("resume", str(self.run_dir))

    def beats(self) -> dict[int, BeatRecord]:
        """Return what the workers told last, by rank; nothing where they are not training.

        A worker that is cut off may still tell of itself: it is of an earlier attempt.
        """
        beats = read_beats(self.run_dir) if self.run_dir else {}
        newest = max((beat.attempt for beat in beats.values()), default=0)
        beats = {rank: beat for rank, beat in beats.items() if beat.attempt == newest}
        ready = beats and all(beat.phase != "start" for beat in beats.values())
        return beats if ready else {}

    def wait_for(self, what: Callable[[dict[int, BeatRecord]], bool]) -> dict[int, BeatRecord]:
        """Wait until the workers' beats are such; return them."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            beats = self.beats()
            if beats and what(beats):
                return beats
            assert self.process.poll() is None, f"the run has ended: {self.told()}"
            time.sleep(0.02)
        raise AssertionError(f"waited in vain at {self.beats()}: {self.told()}")

    def _starts(self) -> list[int]:
        """Return the steps that training has gone on from."""
        assert self.run_dir is not None
        journal = written_by("rank0", self.run_dir / JOURNAL)
        return [record.payload["step"] for record in journal if record.kind == "start"]

    def wait_for_step(self, step: int) -> dict[int, BeatRecord]:
        """Wait until so many steps are committed."""
        return self.wait_for(lambda beats: _step(beats) >= step)

    def inject(self, name: str, fault: Callable[[dict[int, BeatRecord]], object]) -> Injected:
        """Put a fault in, and wait until the run is beyond it with a new group of workers."""
        before = self.wait_for_step(0)
        num_starts = len(self._starts())
        old, last, started = _processes(before), _step(before), time.monotonic()

        def is_another_group(beats: dict[int, BeatRecord]) -> bool:
            nonlocal last
            if not old & _processes(beats):
                return True
            last = max(last, _step(beats))
            return False

        # Some faults take a while, and the last word of the old group does not stay for long. Ray
        # adds nodes from the main thread alone, so it is this that is done in another.
        is_done = threading.Event()

        def keep_looking() -> None:
            while not is_done.wait(0.02):
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
            lambda beats: _step(beats) > last and len(self._starts()) > num_starts
        )
        assert _is_sorted_by_node(group), "the ranks of a node's workers follow one another"
        resumed = self._starts()[-1]
        injected = Injected(
            name,
            last,
            round(time.monotonic() - started, 1),
            last - resumed,
            (len(before), len(group)),
        )
        self.injected.append(injected)
        print(asdict(injected), flush=True)
        return injected

    def end(self) -> dict[str, Any]:
        """Wait for the end and return the result."""
        out, _ = self.process.communicate(timeout=2 * TIMEOUT_S)
        assert out.strip(), self.told()
        result: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        return result

    def signal(self, number: signal.Signals) -> int:
        """Send the driver a signal and return its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(TIMEOUT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def abandon(self) -> None:
        """End the driver, if it has not ended."""
        self.process.kill()
        self.process.communicate()

    def told(self) -> str:
        """Return the end of what the command told."""
        return (self.folder / "stderr.txt").read_text(encoding="utf-8")[-3000:]

    def curves(self) -> list[tuple[str, int, float]]:
        """Return name, step and value of each metric in MLflow, but for times and machines' use."""
        server = self.folder / "server" / "mlflow.db"
        database = server if self.tracking is not None else self.folder / "runs" / "mlflow.db"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return connection.execute(
                "SELECT key, step, value FROM metrics WHERE key NOT LIKE 'time/%' AND "
                "key NOT LIKE 'system/%' AND key != 'samples_per_second' ORDER BY key, step"
            ).fetchall()

    def ledger_faults(self) -> tuple[int, int]:
        """Return how many rows were trained on too often, and how many not at all."""
        assert self.run_dir is not None
        ledger = pq.read_table(self.run_dir / "ledger").to_pydict()
        counts = Counter(zip(ledger["epoch"], ledger["row"], strict=True))
        num_epochs = max(ledger["epoch"])
        repeated = sum(count - 1 for count in counts.values())
        return repeated, num_epochs * _num_rows(self.run_dir) - len(counts)


def _config(part_s: float) -> Mapping[str, Any]:
    return {
        "name": "chaos",
        "seed": 3,
        "storage": "runs",
        "data": {
            "source": "sklearn:digits",
            "target": "target",
            "split": {"validation": 0.1, "test": 0.2},
        },
        "model": {"target": "slow_net:SlowNet", "args": {"width": 1024}},
        "train": {
            "epochs": 16,
            "global_batch_size": 52,
            "num_workers": 2,
            "ledger": True,
            "checkpoint": {"every_steps": 10},
            "max_failures": 100,
        },
        "evaluate": {"every_epochs": 4},
        "track": {"every_steps": 1},
        "cluster": {"env": {"SLOW_NET_PART_S": str(part_s)}, "collective_timeout_s": 20},
    }


def _num_rows(run_dir: Path) -> int:
    result = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))
    manifests = run_dir.parents[1] / "prepared" / result["dataset_digest"] / "manifest.json"
    splits = json.loads(manifests.read_text(encoding="utf-8"))["splits"]
    rows: int = splits["train"]["num_rows"]
    return rows


def _step(beats: Mapping[int, BeatRecord]) -> int:
    return max(beat.step for beat in beats.values())


def _is_sorted_by_node(beats: Mapping[int, BeatRecord]) -> bool:
    nodes = [node for node, _ in itertools.groupby(beats[rank].node for rank in sorted(beats))]
    return len(nodes) == len(set(nodes))


def _processes(beats: Mapping[int, BeatRecord]) -> set[int]:
    return {beat.process for beat in beats.values()}

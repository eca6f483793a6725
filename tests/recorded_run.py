"""A run that records every step, as a driver and its training loop do, for tests that kill it.

    python -m tests.recorded_run RUN_DIR URI

It goes on at its last checkpoint until a file `enough` lies in the run's folder, and ships what it
records all the while. Last, it waits until all is shipped.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import final

from distrain.track import shipper
from distrain.track.journal import JournalWriter
from distrain.track.outcome import OUTCOME
from distrain.track.record import RunFacts, RunRecord
from distrain.track.tracking_server import TrackingServer

STEP_S = 0.004
CHECKPOINT_EVERY_STEPS = 50
PATIENCE_S = 120.0
MANIFEST = {"digest": "d" * 64, "splits": {}}


@final
class RecordedRun:
    """Such a run in a process of its own.

    Args:
        run_dir: its folder, whose name is the run's.
        uri: of the tracking server.
    """

    def __init__(self, run_dir: Path, uri: str) -> None:
        self.run_dir = run_dir
        self._uri = uri
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or go on with it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.recorded_run", str(self.run_dir), self._uri],
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        assert self._process.poll() is None
        self._process.kill()
        self._process.wait()

    def finish(self) -> int:
        """Let it come to its end, and return its exit code."""
        assert self._process is not None
        (self.run_dir / "enough").touch()
        return self._process.wait(2 * PATIENCE_S)


def loss_at(step: int) -> float:
    """Return what stands in for the loss."""
    return 1 / step


def main() -> None:
    """Record until it is enough, and wait until all is shipped."""
    run_dir = Path(sys.argv[1])
    server = TrackingServer(sys.argv[2], None, "track.uri")
    facts = RunFacts("drill", run_dir.name, {"seed": 7}, MANIFEST, {"mlflow.user": "ann"})
    shipper.LONGEST_PAUSE_S = 1.0
    run_dir.mkdir(parents=True, exist_ok=True)
    with RunRecord(run_dir, server, facts, drain_s=PATIENCE_S) as record:
        _train(run_dir)
        record.end("FINISHED", {OUTCOME: "finished"})
        is_shipped = record.drain()
    sys.exit(0 if is_shipped else 1)


def _train(run_dir: Path) -> None:
    saved = run_dir / "step"
    step = int(saved.read_text()) if saved.exists() else 0
    with JournalWriter(run_dir / "journal", "rank0", is_of_loop=True) as journal:
        journal.start(step, is_exact=True, every_steps=1)
        while not (run_dir / "enough").exists():
            time.sleep(STEP_S)
            step += 1
            journal.metrics(step, {"loss": loss_at(step), "rate": 2.0 * step})
            if step % CHECKPOINT_EVERY_STEPS == 0:
                journal.sync()
                partial = saved.with_suffix(".partial")
                partial.write_text(str(step))
                partial.replace(saved)
                journal.checkpoint(step)


if __name__ == "__main__":
    main()

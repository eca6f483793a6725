"""A million metric points from 16 writers at once into one local MLflow server.

    python -m tests.bench.writers [--points 1000000] [--sample-seconds 20] [--out FILE]

Each writer is a process with a run of its own, that records 25 numbers a step and ships them. Told
are whether each point is in the server's database, once, and how many came in a second, from the
first record until the last point was stored. Beside it, for so many seconds each and with as many
writers, the same numbers through Ray's MLflow callback, and by one `log_metric` for each point.
"""

import argparse
import json
import multiprocessing
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from distrain.track.journal import JournalWriter
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer, connect
from tests.mlflow_server import MlflowServer

NUM_WRITERS = 16
NUM_NUMBERS = 25

Write = Callable[[str, str, Any, float], None]


def by_journal(uri: str, name: str, barrier: Any, num_points: float) -> None:
    """Record a run of so many points, and ship it."""
    server = TrackingServer(uri, None, "track.uri")
    client = connect(server)
    with tempfile.TemporaryDirectory() as folder, JournalWriter(Path(folder), "driver") as journal:
        journal.run({"experiment": "journal", "key": name, "name": name, "tags": {}})
        shipper = Shipper(Path(folder), server, connect_to=lambda _: client)
        barrier.wait()
        shipper.start()
        for step in range(1, int(num_points) // NUM_NUMBERS + 1):
            journal.metrics(step, _numbers(step))
        is_shipped = shipper.drain(3600)
        shipper.close()
    sys.exit(0 if is_shipped else 1)


def by_callback(uri: str, name: str, barrier: Any, seconds: float) -> None:
    """Report to Ray's callback until the time is over, as a trial of Ray Tune's does."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    connect(TrackingServer(uri, None, "track.uri"))
    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="callback")
    callback.setup()
    trial: Any = _Trial(name)
    callback.log_trial_start(trial)
    barrier.wait()
    deadline, step = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        step += 1
        callback.log_trial_result(step, trial, {"training_iteration": step, **_numbers(step)})


def by_log_metric(uri: str, name: str, barrier: Any, seconds: float) -> None:
    """Log one point after another until the time is over."""
    client = connect(TrackingServer(uri, None, "track.uri"))
    run_id = client.create_run("0", run_name=name).info.run_id
    barrier.wait()
    deadline, step = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        step += 1
        for key, value in _numbers(step).items():
            client.log_metric(run_id, key, value, step=step)


class _Trial:
    """What the callback asks of a trial."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.config: dict[str, Any] = {}

    def __str__(self) -> str:
        return self.name


def _numbers(step: int) -> dict[str, float]:
    return {f"m/{number}": step + number / 100 for number in range(NUM_NUMBERS)}


def measure(write: Write, amount: float) -> dict[str, Any]:
    """Let all writers write to a fresh server; return what came of it.

    Args:
        write: what each of them does.
        amount: points for each of them, or seconds.
    """
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(NUM_WRITERS + 1)
    with _server() as (uri, database):
        connect(TrackingServer(uri, None, "track.uri")).create_experiment("callback")
        writers = [
            spawn.Process(target=write, args=(uri, f"{write.__name__}-{number}", barrier, amount))
            for number in range(NUM_WRITERS)
        ]
        for writer in writers:
            writer.start()
        barrier.wait()
        started = time.monotonic()
        for writer in writers:
            writer.join()
        seconds = time.monotonic() - started
        stored, distinct, num_runs = _stored(database)
    return {
        "points": stored,
        "doubles": stored - distinct,
        "runs": num_runs,
        "seconds": round(seconds, 1),
        "points_per_s": round(stored / seconds, 1),
        "failed_writers": sum(writer.exitcode != 0 for writer in writers),
    }


@contextmanager
def _server() -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory() as name:
        server = MlflowServer(Path(name))
        server.start()
        try:
            yield server.tracking.uri, Path(name) / "mlflow.db"
        finally:
            server.stop()


def _stored(database: Path) -> tuple[int, int, int]:
    """Return how many points there are, how many of different run, name and step, and runs."""
    with closing(sqlite3.connect(database)) as connection:
        points = "SELECT run_uuid, key, step FROM metrics WHERE key LIKE 'm/%'"
        count = "SELECT count(*) FROM ({})"
        queries = (points, f"{points} GROUP BY 1, 2, 3", "SELECT DISTINCT run_uuid FROM metrics")
        found = [connection.execute(count.format(query)).fetchone()[0] for query in queries]
    return found[0], found[1], found[2]


def main() -> None:
    """Measure, print lines, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--sample-seconds", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for name, write, amount in (
        ("journal", by_journal, options.points / NUM_WRITERS),
        ("ray_callback", by_callback, options.sample_seconds),
        ("log_metric", by_log_metric, options.sample_seconds),
    ):
        found = figures[name] = measure(write, amount)
        print(
            f"{name}: {found['points']} points of {found['runs']} runs in {found['seconds']} s, "
            f"{found['points_per_s']} a second, {found['doubles']} doubles, "
            f"{found['failed_writers']} writers failed",
            flush=True,
        )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

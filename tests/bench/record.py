"""What recording costs the training, with every step recorded and the tracking server dead.

    python -m tests.bench.record [--seconds 20] [--reports-per-s 20] [--out FILE]

One worker on the table of `works.py`, its journal shipped by another process, as a driver does. The
server refuses connections, or takes them and never answers; the journal's disk works, or takes
0.2 s for each write and each fsync, or is full. Checkpoints, which wait for an fsync of the
journal, fall due every 2 s. Told are the longest call of the journal in the loop's own thread, and
the share of its time that all of them took, by the clock and by CPU time, which neighbours on a
busy machine do not lengthen; the first 20 steps are left out. Then the HTTP requests that a report
of 17 numbers costs, counted on the way to a server that works.
"""

import argparse
import contextlib
import errno
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from distrain.track import segment
from distrain.track.journal import JournalWriter
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer
from distrain.train.job import TrainJob
from tests.bench.works import MLP, write_work
from tests.lossy_proxy import LossyProxy
from tests.mlflow_server import MlflowServer

WARM_UP_STEPS = 20
NUM_NUMBERS = 17
RECORDING = ("metrics", "progress", "checkpoint", "note", "tags", "trouble", "sync")
SLOW_S = 0.2
CHECKPOINT_EVERY_S = 2.0
CASES = (("refusing", "good"), ("silent", "good"), ("refusing", "slow"), ("refusing", "full"))


def train_with_dead_server(prepared: Path, kind: str, disk: str, seconds: float) -> dict[str, Any]:
    """Train for a while and return the figures of `_worker`."""
    with tempfile.TemporaryDirectory(dir=prepared.parent) as name, _dead_server(kind) as uri:
        run_dir = Path(name) / "run"
        run_dir.mkdir()
        with JournalWriter(run_dir / "journal", "driver") as driver:
            driver.run({"experiment": "bench", "key": "bench/r", "name": "r", "tags": {}})
        shipper = Shipper(run_dir / "journal", TrackingServer(uri, None, "track.uri"))
        shipper.start()
        job = TrainJob(
            run_dir=str(run_dir),
            prepared_dir=str(prepared),
            model={"name": "mlp", "hidden": MLP["hidden"]},
            global_batch_size=MLP["batch"],
            epochs=10_000,
            metrics=[],
            evaluate_every_epochs=None,
            record_every_steps=1,
            checkpoint_every_s=CHECKPOINT_EVERY_S,
        )
        arguments = (job, disk, seconds)
        worker = multiprocessing.get_context("spawn").Process(target=_worker, args=arguments)
        worker.start()
        worker.join()
        shipper.close(0)
        found: dict[str, Any] = json.loads((run_dir / "bench.json").read_text(encoding="utf-8"))
    return found


@contextmanager
def _dead_server(kind: str) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == "silent":
            listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _worker(job: TrainJob, disk: str, seconds: float) -> None:
    from distrain.train.loop import train
    from distrain.train.world import World

    stamps: list[float] = []
    waits: list[tuple[float, float, float]] = []

    def stamp() -> bool:
        stamps.append(time.perf_counter())
        has_begun = len(stamps) > WARM_UP_STEPS
        return has_begun and stamps[-1] - stamps[WARM_UP_STEPS] > seconds

    for method in RECORDING:
        _time_calls(JournalWriter, method, waits)
    journal = JournalWriter(Path(job.run_dir) / "journal", "rank0", is_of_loop=True)
    _give_disk(disk)
    with contextlib.suppress(OSError):  # a full disk is told at the end
        train(job, World(1, 0, 0, device="cpu"), journal, stamp)
    begun, ended = stamps[WARM_UP_STEPS], stamps[-1]
    timed = [(took, cpu) for at, took, cpu in waits if begun <= at <= ended]
    result = {
        "longest_ms": 1000 * max(took for took, _ in timed),
        "longest_cpu_ms": 1000 * max(cpu for _, cpu in timed),
        "share": sum(took for took, _ in timed) / (ended - begun),
        "cpu_share": sum(cpu for _, cpu in timed) / (ended - begun),
        "steps_per_s": (len(stamps) - 1 - WARM_UP_STEPS) / (ended - begun),
        "num_records": len(timed),
    }
    (Path(job.run_dir) / "bench.json").write_text(json.dumps(result), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)


def _give_disk(kind: str) -> None:
    """Let the journal's writes and fsyncs go to a disk of this kind."""

    def write(descriptor: int, data: bytes) -> int:
        if kind == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        time.sleep(SLOW_S)
        return os.write(descriptor, data)

    def fsync(descriptor: int) -> None:
        time.sleep(SLOW_S)
        os.fsync(descriptor)

    if kind != "good":
        own = {**vars(os), "write": write, "fsync": fsync}
        vars(segment)["os"] = SimpleNamespace(**own)


def _time_calls(owner: type, name: str, times: list[tuple[float, float, float]]) -> None:
    """Note when each call from the loop's thread began, and its seconds by clock and by CPU."""
    method: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return method(*args)
        started, cpu_before = time.perf_counter(), time.thread_time()
        try:
            return method(*args)
        finally:
            took, cpu = time.perf_counter() - started, time.thread_time() - cpu_before
            times.append((started, took, cpu))

    setattr(owner, name, timed)


def requests_per_report(seconds: float, reports_per_s: float) -> dict[str, Any]:
    """Return `per_report`: HTTP requests for one report, those of the run's start included."""
    with tempfile.TemporaryDirectory() as name:
        server = MlflowServer(Path(name))
        server.start()
        try:
            with (
                LossyProxy(server.tracking.uri, 0.0) as proxy,
                JournalWriter(Path(name) / "journal", "driver") as journal,
            ):
                journal.run({"experiment": "bench", "key": "bench/r", "name": "r", "tags": {}})
                through = TrackingServer(proxy.uri, None, "track.uri")
                shipper = Shipper(Path(name) / "journal", through)
                shipper.start()
                num_reports = int(seconds * reports_per_s)
                for step in range(1, num_reports + 1):
                    journal.metrics(step, {f"m/{n}": step + n for n in range(NUM_NUMBERS)})
                    time.sleep(1 / reports_per_s)
                is_shipped = shipper.drain(60)
                shipper.close()
        finally:
            server.stop()
    return {
        "per_report": proxy.num_passed / num_reports,
        "num_reports": num_reports,
        "num_requests": proxy.num_passed,
        "is_shipped": is_shipped,
    }


def main() -> None:
    """Measure, print lines, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--reports-per-s", type=float, default=20.0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        prepared = write_work(Path(name) / "data", MLP) / "prepared"
        for kind, disk in CASES:
            found = train_with_dead_server(prepared, kind, disk, options.seconds)
            figures[f"{kind} server, {disk} disk"] = found
            print(
                f"{kind} server, {disk} disk: longest wait on recording "
                f"{found['longest_ms']:.2f} ms ({found['longest_cpu_ms']:.2f} ms of CPU), "
                f"share of step time {found['share']:.3%} ({found['cpu_share']:.3%} of CPU), "
                f"{found['steps_per_s']:.0f} steps/s",
                flush=True,
            )
    found = figures["requests"] = requests_per_report(options.seconds, options.reports_per_s)
    print(
        f"{found['num_reports']} reports of {NUM_NUMBERS} numbers: {found['num_requests']} HTTP "
        f"requests, {found['per_report']:.3f} for each"
    )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What it costs to bring a search's trials to MLflow, each with ten reports of two metrics.

    python -m tests.bench.children [--trials 100 1000] [--live-trials 100] [--out FILE]

The store is SQLite on the local disk. First a journal that is whole is shipped in one go, as `sync`
does; then one that grows while it is shipped: eight trials at a time, each of them half a second
long, so that every trial takes several portions. Told are milliseconds of wall and of CPU time for
a trial, without the first connection, which makes the database, and what it takes beyond them until
each trial was told what it was trained on too. The same is then asked of MLflow's client by hand,
in the fewest calls there are, so that a slow machine is not taken for slow code.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distrain.track import shipper as shipper_module
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer, connect
from distrain.track.watermark import Watermark
from tests.recorded_search import DATASET, LAYOUT, RecordedSearch

NUM_REPORTS = 10
NUM_SLOTS = 8
TRIAL_S = 0.5
PATIENCE_S = 600.0


def ship_whole(folder: Path, server: TrackingServer, num_trials: int) -> dict[str, float]:
    """Return the cost for a trial of a journal that is shipped when it is whole."""
    with RecordedSearch(folder, LAYOUT, DATASET) as search:
        for trial in range(num_trials):
            _suggest(search, trial)
            for time_ in range(1, NUM_REPORTS + 1):
                _report(search, trial, time_)
            _end(search, trial)
        search.driver.status("FINISHED")
    client = connect(server)
    shipper = Shipper(folder, server, connect_to=lambda _: client)
    started, cpu_before = time.perf_counter(), time.process_time()
    shipper.start()
    is_shipped = shipper.drain(PATIENCE_S)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu_before
    is_whole = shipper.drain(PATIENCE_S, with_data=True)
    whole = time.perf_counter() - started
    shipper.close()
    assert is_shipped
    assert is_whole
    return {
        "ms": 1000 * took / num_trials,
        "cpu_ms": 1000 * cpu / num_trials,
        "data_ms": 1000 * (whole - took) / num_trials,
    }


def ask_by_hand(server: TrackingServer, num_trials: int) -> dict[str, float]:
    """Return the cost for a trial of the fewest calls that bring it to MLflow."""
    from mlflow.entities import Metric, Param

    client = connect(server)
    experiment = client.create_experiment("by hand")
    params = [Param("train.optimizer.lr", "0.01"), Param("model.hidden", "[128]")]
    points = [
        Metric(name, 1 / step, 1_700_000_000_000 + step, step)
        for step in range(1, NUM_REPORTS + 1)
        for name in ("train/loss", "validation/accuracy")
    ]
    tags = {f"tag{number}": "a value" for number in range(13)}
    started, cpu_before = time.perf_counter(), time.process_time()
    for _ in range(num_trials):
        run_id = client.create_run(experiment, 1, tags, "a trial").info.run_id
        client.log_batch(run_id, params=params, metrics=points, synchronous=True)
        client.set_terminated(run_id, "FINISHED", 2)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu_before
    return {"ms": 1000 * took / num_trials, "cpu_ms": 1000 * cpu / num_trials}


def ship_live(folder: Path, server: TrackingServer, num_trials: int) -> dict[str, float]:
    """Return the cost for a trial of a journal that is shipped while it grows.

    Wall time is that of the last drain: what a search would wait for at its end. Without data are
    the trials that were not told theirs while the search went on.
    """
    client = connect(server)
    with RecordedSearch(folder, LAYOUT, DATASET) as search:
        shipper = Shipper(folder, server, connect_to=lambda _: client)
        shipper_module.POLL_S = TRIAL_S / 4
        shipper.start()
        cpu_before = time.process_time()
        for first in range(0, num_trials, NUM_SLOTS):
            slots = range(first, min(first + NUM_SLOTS, num_trials))
            _run_slots(search, slots)
        search.driver.status("FINISHED")
        num_without_data = len(Watermark.load(folder).without_data)
        started = time.perf_counter()
        is_shipped = shipper.drain(PATIENCE_S, with_data=True)
        took, cpu = time.perf_counter() - started, time.process_time() - cpu_before
        shipper.close()
    assert is_shipped
    without_data = {"num_without_data": num_without_data}
    return {"drain_s": took, "cpu_ms": 1000 * cpu / num_trials, **without_data}


def _run_slots(search: RecordedSearch, slots: Sequence[int]) -> None:
    for trial in slots:
        _suggest(search, trial)
    for time_ in range(1, NUM_REPORTS + 1):
        time.sleep(TRIAL_S / NUM_REPORTS)
        for trial in slots:
            _report(search, trial, time_)
    for trial in slots:
        _end(search, trial)


def _suggest(search: RecordedSearch, trial: int) -> None:
    search.suggest(trial, train__optimizer__lr=0.01 + trial, model__hidden=[128], seed=trial)


def _report(search: RecordedSearch, trial: int, time_: int) -> None:
    search.report(trial, time_, 20 * time_, train__loss=1 / time_, validation__accuracy=0.9)


def _end(search: RecordedSearch, trial: int) -> None:
    search.decide(trial, "stop", "rung 9: 17th of 64, 0.95 had to be reached, had 0.9")
    finals = {"train/loss": 1 / NUM_REPORTS, "validation/accuracy": 0.9}
    search.end(trial, "stopped_early", 20 * NUM_REPORTS, metrics=finals)


def main() -> None:
    """Measure, print lines, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--live-trials", type=int, default=100)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for num_trials in options.trials:
        with tempfile.TemporaryDirectory() as name:
            server = TrackingServer(f"sqlite:///{name}/mlflow.db", None, "track.uri")
            found = ship_whole(Path(name) / "journal", server, num_trials)
            by_hand = ask_by_hand(server, num_trials)
        figures[f"{num_trials} trials"] = found
        figures[f"{num_trials} trials, by hand"] = by_hand
        print(
            f"{num_trials} trials: {found['ms']:.1f} ms for each ({found['cpu_ms']:.1f} ms of "
            f"CPU), by hand {by_hand['ms']:.1f} ms ({by_hand['cpu_ms']:.1f} ms of CPU); "
            f"{found['data_ms']:.1f} ms more for its data",
            flush=True,
        )
    if options.live_trials:
        with tempfile.TemporaryDirectory() as name:
            server = TrackingServer(f"sqlite:///{name}/mlflow.db", None, "track.uri")
            found = ship_live(Path(name) / "journal", server, options.live_trials)
        figures[f"{options.live_trials} trials, live"] = found
        print(
            f"{options.live_trials} trials, shipped while they run: {found['cpu_ms']:.1f} ms of "
            f"CPU for each, {found['drain_s']:.2f} s to wait at the end, by when all but "
            f"{found['num_without_data']} had their data"
        )
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What a trial costs beside its training where a search is kept in an object store.

    python -m tests.bench.search_at_store [--trials 100] [--answers-ms 0 20] [--out FILE]

As `tests.bench.search` has it for a folder, which is measured beside it. The store is moto's, in a
process of its own, which answers each request after so many milliseconds more; Amazon's takes some
10 to 30 to answer one of these. Told are also the requests of each trial, by their method. What its
own checkpoint costs a trial, which writes it in its own process, is no part of it.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from distrain.object_store.place import Place
from distrain.object_store.work_link import driver_folder
from distrain.ray_session import ray_session
from tests.bench.search import NUM_SLOTS, of_distrain
from tests.s3_server import S3Server


def serve(told: Connection, answers_s: float) -> None:
    """Serve a store until it is told to end, then tell how often it was asked, by method."""
    server = S3Server()
    server.pause_s = answers_s
    server.start()
    told.send((server.environment, server.place("kept")))
    while told.recv() == "count":
        told.send(Counter(method for method, _ in server.requests))
    server.close()


@contextmanager
def store(answers_s: float) -> Iterator[tuple[Place, Connection]]:
    """Give a place at a store, and what is asked how often it was, for the length of a block."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(theirs, answers_s), daemon=True)
    process.start()
    environment, place = ours.recv()
    os.environ.update(environment)
    try:
        yield place, ours
    finally:
        ours.send("end")
        process.join()


def at_store(num_trials: int, answers_s: float) -> dict[str, float]:
    """Return the cost of a trial of a search of `num_trials`, and its requests."""
    with (
        store(answers_s) as (place, told),
        ray_session("local", num_cpus=NUM_SLOTS + 1),
        driver_folder(place.below("bench").below("search"), is_new=True) as folder,
    ):
        told.send("count")
        before = told.recv()
        found = of_distrain(num_trials, folder)
        time.sleep(0.1)
        told.send("count")
        asked = told.recv() - before
    return {**found, **{method: count / num_trials for method, count in asked.items()}}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--answers-ms", type=float, nargs="+", default=[0.0, 20.0])
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    found = {}
    with (
        ray_session("local", num_cpus=NUM_SLOTS + 1),
        tempfile.TemporaryDirectory(prefix="search-") as folder,
    ):
        found["a folder"] = of_distrain(asked.trials, Path(folder))
    for answers_ms in asked.answers_ms:
        found[f"a store, {answers_ms:g} ms"] = at_store(asked.trials, answers_ms / 1000)
    for name, told in found.items():
        print(f"{name:20} " + "  ".join(f"{key} {value:.2f}" for key, value in told.items()))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

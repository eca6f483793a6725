"""Unshared memory of two workers on a 2 GiB prepared dataset, and on one a sixteenth of it.

    python -m tests.bench.memory

Prepared rows are mapped, so their pages are shared and can be dropped; what grows with the data
would show in the private memory of a worker, which is sampled from /proc.
"""

import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from distrain.config.settings import ClusterSettings
from distrain.data.shards import Column, write_manifest, write_shard
from distrain.display import NoDisplay
from distrain.ray_session import ray_session
from distrain.train.job import TrainJob
from distrain.train.placement import Placement
from distrain.train.run import run_training
from tests.prepared_examples import SHARD_ROWS, numeric_transform

NUM_FEATURES = 54
FULL_BYTES = 2 * 2**30
STEPS = 3_000
MIB = 2**20


def write_rows(folder: Path, num_bytes: int) -> Path:
    """Write so many bytes of rows; all shards hold the same rows, in files of their own."""
    random = np.random.default_rng(0)
    rows = {
        "x": random.standard_normal((SHARD_ROWS, NUM_FEATURES), dtype=np.float32),
        "y": random.integers(0, 7, SHARD_ROWS),
    }
    count = -(-num_bytes // rows["x"].nbytes)
    shards = [write_shard(folder, f"train-{number:05d}.arrow", rows) for number in range(count)]
    columns = {name: Column(array.dtype.name, array.shape[1:]) for name, array in rows.items()}
    empty: dict[str, Any] = {"num_rows": 0, "shards": []}
    transform = numeric_transform(
        NUM_FEATURES, task="classification", targets=["y"], classes=list(range(7))
    )
    manifest = {
        "format": 1,
        "digest": f"{count:064x}",
        "splits": {
            "train": {"num_rows": count * SHARD_ROWS, "shards": [vars(shard) for shard in shards]},
            "validation": empty,
            "test": empty,
        },
        "columns": {name: column.to_json() for name, column in columns.items()},
        "transform": transform.to_json(),
    }
    write_manifest(folder, manifest)
    return folder


def private_bytes() -> list[tuple[int, int]]:
    """Return the unshared memory of each Ray Train worker of this machine, and what of it is dirty.

    Clean pages are those of mapped files that no other process touches just now.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::RayTrainWorker" not in (process / "cmdline").read_bytes():
                continue
            lines = (process / "smaps_rollup").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue  # it has ended
        sizes = {line.split()[0]: line.split()[1] for line in lines[1:]}
        clean, dirty = (1024 * int(sizes[f"Private_{kind}:"]) for kind in ("Clean", "Dirty"))
        found.append((clean + dirty, dirty))
    return found


def peak_of_training(prepared: Path, run_dir: Path) -> dict[str, float]:
    """Train for a while and return the greatest unshared MiB that a worker had, all and dirty."""
    peak, ended = (0, 0), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.5):
            for all_of_it, dirty in private_bytes():
                peak = max(peak[0], all_of_it), max(peak[1], dirty)

    run_dir.mkdir(parents=True)
    watcher = threading.Thread(target=watch)
    watcher.start()
    job = TrainJob(
        run_dir=str(run_dir),
        prepared_dir=str(prepared),
        model={"name": "mlp", "hidden": [64]},
        steps=STEPS,
        global_batch_size=4096,
    )
    try:
        run_training(
            job,
            Placement(2, 1.0, 0.0),
            ClusterSettings(),
            max_failures=0,
            import_paths=[],
            display=NoDisplay(),
        )
    finally:
        ended.set()
        watcher.join()
    return {"all": peak[0] / MIB, "dirty": peak[1] / MIB}


def main() -> None:
    """Measure both sizes and print one JSON line."""
    figures = {}
    with tempfile.TemporaryDirectory() as name, ray_session("local", num_cpus=3):
        for label, size in (("sixteenth", FULL_BYTES // 16), ("2 GiB", FULL_BYTES)):
            prepared = write_rows(Path(name) / f"prepared-{size}", size)
            figures[label] = peak_of_training(prepared, Path(name) / f"run-{size}")
    print(json.dumps({"greatest unshared MiB of a worker": figures}))


if __name__ == "__main__":
    main()

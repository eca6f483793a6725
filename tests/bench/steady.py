"""Steady rows per second of a tabular mlp on two workers: distrain's loop against its peers.

    python -m tests.bench.steady [--rounds 3] [--out bench-results/steady.json]

Same rows, network, batch, optimizer, threads and number of processes; rounds alternate, and the
medians are compared. The first 20 steps are left out on both sides.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from distrain.train.job import TrainJob
from tests.prepared_examples import classified, numeric_transform, write_prepared
from tests.training_group import Group, train_in_groups

REPOSITORY = Path(__file__).parent.parent.parent
SPEC: dict[str, Any] = {
    "num_rows": 400_000,
    "num_features": 54,
    "num_classes": 7,
    "hidden": [256, 256],
    "batch": 1024,
    "num_workers": 2,
    "epochs": 3,
    "warmup_steps": 20,
}


def write_data(folder: Path, spec: dict[str, Any] = SPEC) -> Path:
    """Write the rows in the prepared form, and as `x.npy` and `y.npy` for the peers."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = classified(spec["num_rows"], spec["num_features"], spec["num_classes"])
    transform = numeric_transform(
        spec["num_features"],
        task="classification",
        targets=["label"],
        classes=list(range(spec["num_classes"])),
    )
    write_prepared(folder / "prepared", transform, {"train": rows})
    _write_parquet(folder / "parquet", rows)
    np.save(folder / "x.npy", rows["x"])
    np.save(folder / "y.npy", rows["y"])
    return folder


def _write_parquet(folder: Path, rows: dict[str, Any]) -> None:
    """Write the rows as the table that they would be: a column for each number."""
    columns = {f"f{number}": column for number, column in enumerate(rows["x"].T)}
    folder.mkdir()
    pq.write_table(
        pa.table({**columns, "y": rows["y"]}), folder / "rows.parquet", row_group_size=50_000
    )


def run_ray_train(folder: Path, spec: dict[str, Any] = SPEC) -> float:
    """Train the peer on Ray Train and Ray Data, on a Ray of its own; return its rows per second."""
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.bench.peer_ray_train",
            str(folder / "parquet"), json.dumps(spec),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return float(json.loads(lines[-1])["rows_per_s"])


def run_distrain(folder: Path, spec: dict[str, Any] = SPEC, **changes: Any) -> dict[str, Any]:
    """Train with distrain's loop in spawned processes, without Ray; return rank zero's outcome."""
    with tempfile.TemporaryDirectory() as run_dir:
        job = TrainJob(
            run_dir=run_dir,
            prepared_dir=str(folder / "prepared"),
            model={"name": "mlp", "hidden": spec["hidden"]},
            global_batch_size=spec["batch"],
            epochs=spec["epochs"],
            **changes,
        )
        group = Group(spec["num_workers"], [job])
        return train_in_groups([group], Path(run_dir))[0][0][0]


def run_ddp(folder: Path, spec: dict[str, Any] = SPEC, loader_workers: int = 0) -> float:
    """Train the peer under torchrun; return its rows per second."""
    command = [
        sys.executable, "-m", "torch.distributed.run",
        "--nproc-per-node", str(spec["num_workers"]), "--master-addr", "127.0.0.1",
        "--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
        str(REPOSITORY / "tests/bench/peer_ddp.py"),
        str(folder), json.dumps({**spec, "loader_workers": loader_workers}),
    ]  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1])["rows_per_s"])


def compare(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    """Run each contender once a round, in turn; return all figures and their medians."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            figures[name].append(run())
            print(f"round {number + 1}  {name:24} {figures[name][-1]:12,.0f} rows/s", flush=True)
    return {
        name: {"median": statistics.median(values), "all": values}
        for name, values in figures.items()
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = write_data(Path(name))
        figures = compare(
            {
                "distrain": lambda: run_distrain(folder)["samples_per_second"],
                "ddp, DataLoader in place": lambda: run_ddp(folder, loader_workers=0),
                "ddp, 2 loader processes": lambda: run_ddp(folder, loader_workers=2),
                "ray train, iter_torch_batches": lambda: run_ray_train(folder),
            },
            options.rounds,
        )
    own = figures["distrain"]["median"]
    best = max(value["median"] for key, value in figures.items() if key.startswith("ddp"))
    figures["ratio to the better DDP"] = own / best
    figures["ratio to Ray Train"] = own / figures["ray train, iter_torch_batches"]["median"]
    for name in ("ratio to the better DDP", "ratio to Ray Train"):
        print(f"{name}: {figures[name]:.2f}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Steady rows per second on two workers: distrain's loop against its peers.

    python -m tests.bench.steady [--works mlp cnn transformer] [--rounds 3] [--out FILE.json]

Same rows, network, batch, optimizer, threads and number of processes; rounds alternate, and the
medians are compared. The first 20 steps are left out on both sides. Lightning and Accelerate take
part where they are installed: `pip install -e '.[bench]'`.
"""

import argparse
import importlib.util
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
from tests.bench.works import MLP, WORKS, Work, write_work
from tests.training_group import Group, train_in_groups

REPOSITORY = Path(__file__).parent.parent.parent
RAY_TRAIN = "ray train, iter_torch_batches"
DDP = "ddp, DataLoader in place"
DDP_PROCESSES = "ddp, 2 loader processes"
FAST = "distrain, fast"
# What distrain's exact reduction must reach, as a share of a peer's rows per second, by work.
REQUIRED = {
    "mlp": {DDP: 1.10, DDP_PROCESSES: 1.10, RAY_TRAIN: 3.0},
    "cnn": {DDP: 1.0, DDP_PROCESSES: 1.0},
    "transformer": {DDP: 0.95, FAST: 0.95},
}


def run_distrain(folder: Path, work: Work = MLP, **changes: Any) -> dict[str, Any]:
    """Train with distrain's loop in spawned processes, without Ray; return rank zero's outcome."""
    with tempfile.TemporaryDirectory() as run_dir:
        job = TrainJob(
            run_dir=run_dir,
            prepared_dir=str(folder / "prepared"),
            model=work["model"],
            global_batch_size=work["batch"],
            epochs=work["epochs"],
            **changes,
        )
        group = Group(work["num_workers"], [job])
        return train_in_groups([group], Path(run_dir))[0][0][0]


def run_torchrun(module: str, folder: Path, work: Work) -> float:
    """Train a peer under torchrun; return its rows per second."""
    command = [
        sys.executable, "-m", "torch.distributed.run",
        "--nproc-per-node", str(work["num_workers"]), "--master-addr", "127.0.0.1",
        "--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
        "-m", f"tests.bench.{module}", str(folder), json.dumps(work),
    ]  # fmt: skip
    return _rows_per_s(command, {**os.environ, "OMP_NUM_THREADS": "1"})


def run_ray_train(folder: Path, work: Work) -> float:
    """Train the peer on Ray Train and Ray Data, on a Ray of its own; return its rows per second."""
    parquet = folder / "parquet"
    if not parquet.exists():
        _write_parquet(parquet, np.load(folder / "x.npy"), np.load(folder / "y.npy"))
    command = [sys.executable, "-m", "tests.bench.peer_ray_train", str(parquet), json.dumps(work)]
    return _rows_per_s(command, dict(os.environ))


def _rows_per_s(command: list[str], environment: dict[str, str]) -> float:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=REPOSITORY, env=environment
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return float(json.loads(lines[-1])["rows_per_s"])


def _write_parquet(folder: Path, x: Any, y: Any) -> None:
    """Write the rows as the table that they would be: a column for each number."""
    columns = {f"f{number}": column for number, column in enumerate(x.T)}
    folder.mkdir()
    pq.write_table(pa.table({**columns, "y": y}), folder / "rows.parquet", row_group_size=50_000)


def contenders(folder: Path, work: Work) -> dict[str, Callable[[], float]]:
    """Return who takes part in a work, by name."""
    found: dict[str, Callable[[], float]] = {
        "distrain": lambda: run_distrain(folder, work)["samples_per_second"],
        FAST: lambda: run_distrain(folder, work, reduction="fast")["samples_per_second"],
        DDP: lambda: run_torchrun("peer_ddp", folder, work),
    }
    if work["kind"] != "tokens":  # whose steps are too long for a loader to matter
        found[DDP_PROCESSES] = lambda: run_torchrun(
            "peer_ddp", folder, {**work, "loader_workers": 2}
        )
    if work["kind"] == "table":
        found[RAY_TRAIN] = lambda: run_ray_train(folder, work)
    for name in ("lightning", "accelerate"):
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: left out", flush=True)
        else:
            found[name] = lambda name=name: run_torchrun(f"peer_{name}", folder, work)  # type: ignore[misc]
    return found


def compare(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    """Run each contender once a round, in turn; return all figures and their medians."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            figures[name].append(run())
            print(f"round {number + 1}  {name:30} {figures[name][-1]:12,.1f} rows/s", flush=True)
    return {
        name: {"median": statistics.median(values), "all": values}
        for name, values in figures.items()
    }


def ratios(figures: dict[str, Any], required: dict[str, float]) -> dict[str, Any]:
    """Return distrain's rows per second as a share of each peer's, and what was required.

    Args:
        figures: by contender, as `compare` gives them.
        required: by peer.
    """
    own = figures["distrain"]["median"]
    return {
        name: {"ratio": own / value["median"], "required": required.get(name)}
        for name, value in figures.items()
        if name != "distrain"
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    told = {}
    for name in options.works:
        print(name)
        with tempfile.TemporaryDirectory() as folder:
            written = write_work(Path(folder) / name, WORKS[name])
            figures = compare(contenders(written, WORKS[name]), options.rounds)
        told[name] = {"rows_per_s": figures, "ratios": ratios(figures, REQUIRED[name])}
    for name, found in told.items():
        for peer, one in found["ratios"].items():
            wanted = f"(required: {one['required']:.2f})" if one["required"] else ""
            print(f"{name:12} against {peer:30} {one['ratio']:6.2f} {wanted}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""A run of many slow steps; the same weights come out whatever is done to it."""

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from distrain.jobs.chaos.undertaking import DISTRAIN, Beats, Undertaking
from tests.mlflow_server import MlflowServer

Curves = list[tuple[str, int, float]]


def undertake(
    folder: Path,
    address: str,
    settings: Sequence[str],
    *,
    part_s: float,
    tracking: MlflowServer | None = None,
    prefix: Sequence[str] = (),
) -> Undertaking:
    """Begin the run.

    Args:
        folder: where it works; its storage is below.
        address: the cluster.
        settings: further settings as overrides of the command line.
        part_s: seconds that a part of a step takes at least.
        tracking: the server that it is recorded at; None: a database below its storage.
        prefix: what its command lines begin with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("slow_net.py"), folder)
    config = folder / "chaos.yaml"
    config.write_text(json.dumps(_config(folder / "runs", part_s)), encoding="utf-8")
    words = ["train", str(config), f"cluster.address={address}", *settings]
    if tracking is not None:
        words.append(f"track.uri={tracking.tracking.uri}")
    return Undertaking(
        folder,
        folder / "runs" / "chaos",
        words,
        {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
        tracking=tracking,
        command=[*prefix, *DISTRAIN],
    )


def curves(folder: Path) -> Curves:
    """Return name, step and value of each metric in MLflow, but for times and machines' use."""
    server = folder / "server" / "mlflow.db"
    database = server if server.exists() else folder / "runs" / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(
            "SELECT key, step, value FROM metrics WHERE key NOT LIKE 'time/%' AND "
            "key NOT LIKE 'system/%' AND key != 'samples_per_second' ORDER BY key, step"
        ).fetchall()


def ledger_faults(run_dir: Path, num_rows: int | None = None) -> tuple[int, int]:
    """Return how many rows were trained on too often, and how many not at all.

    Args:
        run_dir: the run's folder.
        num_rows: of the training split; None: what was prepared lies below its storage.
    """
    ledger = pq.read_table(run_dir / "ledger").to_pydict()
    counts = Counter(zip(ledger["epoch"], ledger["row"], strict=True))
    num_epochs = max(ledger["epoch"])
    repeated = sum(count - 1 for count in counts.values())
    return repeated, num_epochs * (num_rows or _num_rows(run_dir)) - len(counts)


def is_sorted_by_node(beats: Beats) -> bool:
    """Return whether the ranks of a node's workers follow one another."""
    nodes = [node for node, _ in itertools.groupby(beats[rank].node for rank in sorted(beats))]
    return len(nodes) == len(set(nodes))


def _config(storage: Path, part_s: float) -> Mapping[str, Any]:
    return {
        "name": "chaos",
        "seed": 3,
        "storage": str(storage),
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

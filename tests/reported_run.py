"""The folder of a run that a report can be written of, made without training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distrain.stored_run import Started
from distrain.track.journal import JournalWriter
from distrain.track.lineage_folder import write_lineage

MANIFEST: dict[str, Any] = {
    "digest": "d" * 64,
    "format": 1,
    "recipe": {"split": {"seed": 0}, "has_test_source": False},
    "sources": [
        {"uri": "/data/far/away/a.csv", "num_rows": 90, "num_bytes": 9, "sha256": "a" * 64}
    ],
    "splits": {
        "train": {"num_rows": 60, "shards": []},
        "validation": {"num_rows": 10, "shards": []},
        "test": {"num_rows": 20, "shards": []},
    },
    "profile": {
        "size": {
            "kind": "numeric",
            "type": "double",
            "num_rows": 90,
            "num_missing": 9,
            "low": -1.5,
            "high": 4.0,
            "training": {"mean": 0.25, "deviation": 1.25, "median": 0.0},
        },
        "kind": {
            "kind": "none",
            "type": "string",
            "num_rows": 90,
            "num_missing": 0,
        },
    },
    "findings": [
        {
            "kind": "missing-values",
            "column": "size",
            "message": "10.0% of the rows have no value",
            "count": 9,
        }
    ],
}
ASSESSMENT: dict[str, Any] = {
    "num_rows": 20,
    "num_classes": 2,
    "classes": ["cat", "dog"],
    "actual": [12, 8],
    "predicted": [11, 9],
    "right": [10, 7],
    "confused": [[0, 1, 2], [1, 0, 1]],
}
CONFIG = """\
name: pets
seed: 5
data: {target: kind}
model: {name: mlp}
train:
  early_stopping: null
  restore_best: true
  resources_per_worker: {cpu: 1, gpu: auto}
evaluate:
  goals: {test/accuracy: ">= 0.8", test/f1: ">= 0.99"}
cluster: {price_per_gpu_hour: 2.5}
"""
RESULT: dict[str, Any] = {
    "status": "finished",
    "run_id": "1" * 32,
    "run_dir": "elsewhere",
    "epoch": 3,
    "step": 30,
    "metrics": {
        "train/loss": 0.1625,
        "validation/loss": 0.3125,
        "test/loss": 0.4375,
        "test/accuracy": 0.85,
        "test/f1": 0.8375,
        "model/num_parameters": 1234.0,
        "samples_per_second": 5678.0,
    },
    "weights_sha256": "f" * 64,
    "samples_per_second": 5678.0,
    "num_workers": 2,
    "dataset_digest": "d" * 64,
    "model": {"name": "pets", "version": "3", "alias": "champion"},
    "goals": {
        "test/accuracy": {"goal": ">= 0.8", "value": 0.85, "met": True},
        "test/f1": {"goal": ">= 0.99", "value": 0.8375, "met": False},
    },
    "resumed_from_step": None,
    "tracking": "complete",
    "error": None,
}


def write_run(
    run_dir: Path,
    *,
    config: str = CONFIG,
    result: Mapping[str, Any] | None = RESULT,
    assessment: Mapping[str, Any] | None = ASSESSMENT,
) -> Path:
    """Write the folder of a run of three epochs of ten steps, whose second was the best.

    Args:
        run_dir: the folder.
        config: text of its configuration.
        result: how it ended; None: it told no end.
        assessment: where it is wrong on the test split; None: it was not assessed.
    """
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text(config)
    write_lineage(
        run_dir / "lineage",
        config=config,
        manifest=MANIFEST,
        user_code=[],
        machine={"device": "cpu", "host": "desk", "cpu": "a CPU", "num_cores": 2, "python": "3"},
    )
    Started([], "d" * 64, [], {}, {}).save(run_dir)
    journal = run_dir / "journal"
    with JournalWriter(journal, "driver") as driver:
        key = f"{run_dir.parent.name}/{run_dir.name}"
        tags = {"mlflow.user": "ada", "distrain.version": "0.1.0"}
        driver.run({"experiment": run_dir.parent.name, "key": key, "name": "r", "tags": tags})
        driver.store("storage")
        driver.metrics(0, {"time/ready_s": 2.0})
        _train(journal, assessment)
        driver.metrics(30, {"time/training_s": 1.0})
        if result is not None:
            driver.status("FINISHED")
            (run_dir / "result.json").write_text(json.dumps(result))
    return run_dir


def _train(journal: Path, assessment: Mapping[str, Any] | None) -> None:
    with JournalWriter(journal, "attempts") as attempts:
        attempts.tags({"distrain.workers_by_attempt": "2"})
    with JournalWriter(journal, "rank0") as rank_zero:
        rank_zero.start(0, is_exact=True, every_steps=5)
        for step in range(5, 31, 5):
            rank_zero.metrics(step, {"train/loss": 1.0 / step + 0.125, "train/lr": 0.001})
        for step, loss in ((10, 0.5), (20, 0.3125), (30, 0.375)):
            rank_zero.metrics(step, {"validation/loss": loss})
            rank_zero.metrics(step, {"time/data_s": 0.25, "time/compute_s": 1.5})
        rank_zero.note("something that the user was told")
        if assessment is not None:
            rank_zero.metrics(30, {"test/loss": 0.4375, "test/accuracy": 0.85, "test/f1": 0.8375})
            rank_zero.assessment("test", assessment)
    with JournalWriter(journal, "system") as system:
        system.tags({"distrain.node.0": "desk"})
        for look, (cpu, memory) in enumerate([(40.0, 21.5), (60.0, 33.5)]):
            values = {"cpu_utilization_percentage": cpu, "system_memory_usage_percentage": memory}
            system.system(look, {f"system/node_0/{name}": v for name, v in values.items()})

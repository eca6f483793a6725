"""A search over small networks on the digits, for the tests that run one, and what it decided."""

from pathlib import Path
from typing import Any

from distrain.run_folder import JOURNAL
from distrain.tune.events import read_events


def digits_search(storage: Path, **sections: Any) -> dict[str, Any]:
    """Return the configuration of a search, with settings in place of, and beside, its own.

    Args:
        storage: where it keeps its folder.
        sections: settings by section; those of `train` and `tune` are added to, others replaced.
    """
    tune = {
        "metric": "validation/accuracy",
        "num_trials": 6,
        "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
        "scheduler": {"name": "sha", "reduction_factor": 2},
        "max_concurrent": 2,
    }
    train = {"epochs": 4, "global_batch_size": 128, "num_workers": 1}
    return {
        "name": "digits",
        "seed": 3,
        "storage": str(storage),
        "data": {"source": "sklearn:digits", "target": "target"},
        "model": {"name": "mlp", "hidden": [16], "dropout": 0.1},
        **sections,
        "train": {**train, **sections.get("train", {})},
        "tune": {**tune, **sections.get("tune", {})},
    }


def decisions(run_dir: Path) -> list[tuple[Any, ...]]:
    """Return what the scheduler of a search decided, by trial and time."""
    return sorted(
        (event["trial"], event["time"], event["action"], event["value"], event["cut"])
        for event in read_events(run_dir / JOURNAL)
        if event["event"] == "decided"
    )

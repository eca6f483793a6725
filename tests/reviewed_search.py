"""A search to be reviewed: 64 trials, most of them stopped, two that fail, one that is killed."""

import shutil
from pathlib import Path
from typing import Any

import distrain
from distrain.results import TrainResult, TuneResult
from tests import review_model
from tests.digits_search import digits_search

NUM_TRIALS = 64


def run_search(folder: Path, storage: Path) -> TuneResult:
    """Run the search, after a training run that it is the successor of.

    Args:
        folder: where its model's code is put; it is to be importable from there.
        storage: where it is kept.
    """
    shutil.copy(review_model.__file__, folder / "review_model.py")
    train_before(storage)
    planted = [{"model.args.leak": leak} for leak in (*review_model.RAISES, review_model.KILLED)]
    tune = {
        "num_trials": NUM_TRIALS,
        "space": {
            "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
            "model.args.width": {"choice": [8, 16, 32]},
            "model.args.leak": {"uniform": [0, 0.5]},
        },
        "scheduler": {"name": "sha", "reduction_factor": 4},
        "start_from": [{"train.optimizer.lr": 1e-2, "model.args.width": 16, **p} for p in planted],
        "confirm": 2,
    }
    return distrain.tune(config(storage, tune=tune))


def train_before(storage: Path) -> TrainResult:
    """Train one model with the same data, which gets the alias first."""
    sections = config(storage, train={"epochs": 8})
    del sections["tune"]
    return distrain.train(sections)


def config(storage: Path, **sections: Any) -> dict[str, Any]:
    """Return the configuration, with settings beside its own."""
    return digits_search(
        storage,
        model={"target": "review_model:Reviewed", "args": {"width": 16, "leak": 0.01}},
        evaluate={"goals": {"test/accuracy": ">= 0.5"}},
        track={"register": {"model": "digits", "alias": "champion"}},
        **sections,
    )

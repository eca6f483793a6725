"""Small jobs of the loop, made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from distrain.train.loop import TrainJob


def job_maker(folder: Path, data: Path, **fields: Any) -> Callable[..., TrainJob]:
    """Return what makes a job of a run below `folder`, by its name and what is different in it."""
    usual = {
        "model": {"name": "mlp", "hidden": [8], "dropout": 0.2, "norm": "batch"},
        "epochs": 3,
        "global_batch_size": 16,
        "metrics": ["accuracy"],
        "checkpoint_every_s": None,
        **fields,
    }

    def make(run: str = "run", **changes: Any) -> TrainJob:
        return TrainJob(str(folder / run), str(data), **{**usual, **changes})

    return make

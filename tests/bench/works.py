"""The works that engines are compared on, and their rows in the form that each engine reads.

Each is one network on one dataset with one batch; a worker computes with one thread.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distrain.data.features import Transform
from tests.prepared_examples import classified, numeric_transform, write_prepared

Work = dict[str, Any]

MLP: Work = {
    "kind": "table",
    "model": {"name": "mlp", "hidden": [256, 256]},
    "hidden": [256, 256],
    "num_rows": 400_000,
    "num_features": 54,
    "num_classes": 7,
    "batch": 1024,
    "num_workers": 2,
    "epochs": 3,
    "warmup_steps": 20,
}
CNN: Work = {
    "kind": "images",
    "model": {"name": "cnn", "channels": [16, 32], "hidden": [64]},
    "shape": [1, 28, 28],
    "num_rows": 40_000,
    "num_classes": 10,
    "batch": 256,
    "num_workers": 2,
    "epochs": 1,
    "warmup_steps": 20,
}
# 9.8 million parameters, 32 rows of 128 tokens: 4,096 tokens in a step.
TRANSFORMER: Work = {
    "kind": "tokens",
    "model": {
        "target": "tests.bench.networks:TokenClassifier",
        "args": {"num_tokens": 256, "width": 512, "num_layers": 3, "num_heads": 8},
    },
    "num_rows": 32 * 45,
    "num_features": 128,
    "num_tokens": 256,
    "num_classes": 10,
    "batch": 32,
    "num_workers": 2,
    "epochs": 1,
    "warmup_steps": 20,
}
WORKS = {"mlp": MLP, "cnn": CNN, "transformer": TRANSFORMER}


def write_work(folder: Path, work: Work) -> Path:
    """Write a work's rows as distrain's prepared dataset, and as `x.npy` and `y.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    transform, rows = make_rows(work)
    write_prepared(folder / "prepared", transform, {"train": rows})
    np.save(folder / "x.npy", rows["x"])
    np.save(folder / "y.npy", rows["y"])
    return folder


def make_rows(work: Work) -> tuple[Transform, dict[str, npt.NDArray[Any]]]:
    """Return a work's transform and its training rows, `x` and `y`."""
    classes = list(range(work["num_classes"]))
    fields: dict[str, Any] = {
        "task": "classification",
        "targets": ["label"],
        "classes": classes,
    }
    if work["kind"] == "images":
        transform = Transform(
            image=image_entry(work),
            column_types={"image": "image", "label": "int64"},
            **fields,
        )
        return transform, _images(work)
    transform = numeric_transform(work["num_features"], **fields)
    if work["kind"] == "tokens":
        return transform, _tokens(work)
    return transform, classified(work["num_rows"], work["num_features"], work["num_classes"])


def image_entry(work: Work) -> dict[str, Any] | None:
    """Return how a work's images are normalised; None where rows are no images."""
    if work["kind"] != "images":
        return None
    return {"column": "image", "shape": work["shape"], "mean": [0.5], "std": [0.25], "scale": 255.0}


def _images(work: Work) -> dict[str, npt.NDArray[Any]]:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (work["num_rows"], *work["shape"]), dtype=np.uint8)
    return {"x": x, "y": random.integers(0, work["num_classes"], work["num_rows"])}


def _tokens(work: Work) -> dict[str, npt.NDArray[Any]]:
    random = np.random.default_rng(0)
    tokens = random.integers(0, work["num_tokens"], (work["num_rows"], work["num_features"]))
    labels = random.integers(0, work["num_classes"], work["num_rows"])
    return {"x": tokens.astype(np.float32), "y": labels}

"""Small prepared datasets made by hand, in the on-disk form that `data/prepare.py` writes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distrain.data.encoders import NumericFeature
from distrain.data.features import Transform
from distrain.data.shards import Column, write_manifest, write_shard

SHARD_ROWS = 65_536


def numeric_transform(num_features: int, **fields: Any) -> Transform:
    """Return a transform that takes `num_features` numbers as they are."""
    names = [f"f{number}" for number in range(num_features)]
    features = tuple(NumericFeature(name, "double", 0.0, 0.0, 1.0) for name in names)
    return Transform(
        features=features,
        column_types=dict.fromkeys([*names, *fields["targets"]], "double"),
        **fields,
    )


def write_prepared(
    folder: Path,
    transform: Transform,
    splits: Mapping[str, Mapping[str, npt.NDArray[Any]]],
    shard_rows: int = SHARD_ROWS,
) -> Path:
    """Write splits of columns (`x`, `y`, where given `target` and `weight`) and the manifest."""
    listed: dict[str, Any] = {}
    columns: dict[str, Column] = {}
    digest = hashlib.sha256()
    for split in ("train", "validation", "test"):
        arrays = splits.get(split, {})
        num_rows = len(arrays["y"]) if arrays else 0
        shards = []
        for number, start in enumerate(range(0, num_rows, shard_rows)):
            rows = {name: values[start : start + shard_rows] for name, values in arrays.items()}
            shards.append(write_shard(folder, f"{split}-{number:05d}.arrow", rows))
            digest.update(shards[-1].sha256.encode())
        columns |= {
            name: Column(values.dtype.name, values.shape[1:]) for name, values in arrays.items()
        }
        listed[split] = {"num_rows": num_rows, "shards": [vars(shard) for shard in shards]}
    manifest = {
        "format": 1,
        "digest": digest.hexdigest(),
        "splits": listed,
        "columns": {name: column.to_json() for name, column in columns.items()},
        "transform": transform.to_json(),
    }
    write_manifest(folder, manifest)
    return folder


def classified(
    num_rows: int, num_features: int, num_classes: int, seed: int = 0
) -> dict[str, npt.NDArray[Any]]:
    """Return rows whose class follows from their features, with some noise."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((num_rows, num_features), dtype=np.float32)
    directions = np.random.default_rng(99).standard_normal((num_features, num_classes))
    scores = x @ directions + random.standard_normal((num_rows, num_classes))
    return {"x": x, "y": scores.argmax(axis=1).astype(np.int64)}


def write_classified(
    folder: Path,
    rows: Mapping[str, int],
    *,
    num_features: int = 6,
    num_classes: int = 3,
    shard_rows: int = SHARD_ROWS,
) -> Path:
    """Write a tabular classification; `rows` says how many each split has."""
    transform = numeric_transform(
        num_features,
        task="classification",
        targets=["label"],
        classes=[f"c{number}" for number in range(num_classes)],
        positive=1 if num_classes == 2 else None,
    )
    splits = {
        name: classified(count, num_features, num_classes, seed)
        for seed, (name, count) in enumerate(rows.items())
    }
    return write_prepared(folder, transform, splits, shard_rows)


def write_images(folder: Path, rows: Mapping[str, int], num_classes: int = 3) -> Path:
    """Write uint8 images of one channel, 8 by 8, whose class follows from where they are bright."""
    transform = Transform(
        task="classification",
        targets=["label"],
        classes=list(range(num_classes)),
        image={
            "column": "image",
            "shape": [1, 8, 8],
            "mean": [0.4],
            "std": [0.25],
            "scale": 255.0,
        },
        column_types={"image": "image", "label": "int64"},
    )
    splits = {}
    for seed, (name, count) in enumerate(rows.items()):
        random = np.random.default_rng(seed)
        y = random.integers(0, num_classes, count)
        x = random.integers(0, 120, (count, 1, 8, 8))
        for row, label in enumerate(y):
            x[row, 0, label : label + 3, label : label + 3] += 120
        splits[name] = {"x": x.astype(np.uint8), "y": y.astype(np.int64)}
    return write_prepared(folder, transform, splits)


def write_regression(
    folder: Path, rows: Mapping[str, int], targets: tuple[str, ...] = ("price",)
) -> Path:
    """Write a tabular regression whose targets are far from zero and of different sizes."""
    count = len(targets)
    mean, std = [1000.0 * (i + 1) for i in range(count)], [50.0 * (i + 1) for i in range(count)]
    transform = numeric_transform(
        5, task="regression", targets=list(targets), target_mean=mean, target_std=std
    )
    splits: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for seed, (name, number) in enumerate(rows.items()):
        random = np.random.default_rng(seed)
        x = random.standard_normal((number, 5), dtype=np.float32)
        raw = x.sum(axis=1, dtype=np.float64)[:, None] + random.standard_normal((number, count))
        splits[name] = {"x": x, "y": raw.astype(np.float32)}
        if name != "train":
            splits[name]["target"] = raw * np.array(std) + np.array(mean)
    return write_prepared(folder, transform, splits)

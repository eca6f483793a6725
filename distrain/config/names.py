"""Names that mean something in several places: tasks, metrics, losses, built-in data, URIs."""

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Task = Literal["classification", "regression"]
Mode = Literal["min", "max"]

ALIAS_PATTERN = r"^[A-Za-z0-9_-]+$"
"""What MLflow takes for an alias, less what is no ASCII."""

RESERVED_ALIAS = re.compile(r"latest|v[0-9]+", re.IGNORECASE)
"""Aliases that MLflow keeps to itself."""

LOSS_TASKS: dict[str, Task] = {
    "cross_entropy": "classification",
    "mse": "regression",
    "mae": "regression",
    "huber": "regression",
}

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

COMPRESSIONS = (".gz", ".zst", ".bz2")
FORMAT_OF_ENDING = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".npy": "npy",
    ".npz": "npz",
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"), "images"),
}
DATASETS = ("dataset", "validation_dataset", "test_dataset")
"""Keys below `data:` of torch Datasets of the user's own."""

BUILT_IN_PREFIX = "sklearn:"
BUILT_IN_TASKS: dict[str, Task] = {
    "sklearn:digits": "classification",
    "sklearn:iris": "classification",
    "sklearn:wine": "classification",
    "sklearn:breast_cancer": "classification",
    "sklearn:diabetes": "regression",
    "sklearn:california_housing": "regression",
}
BUILT_IN_IMAGES = ("sklearn:digits",)


def is_uri(text: str) -> bool:
    """Return whether the text is a URI with a scheme, such as s3://bucket/key."""
    return _URI.match(text) is not None


def is_remote(text: str) -> bool:
    """Return whether the text is a URI of anything but this machine's own file system."""
    return is_uri(text) and not text.startswith("file://")


def format_named(source: str) -> str | None:
    """Return the format that a path's or a URI's extension stands for, None where it says none."""
    name = source.partition("?")[0] if is_remote(source) else source
    name = name.lower()
    for ending in COMPRESSIONS:
        name = name.removesuffix(ending)
    return FORMAT_OF_ENDING.get(PurePosixPath(name).suffix)


def holds_images(source: str) -> bool:
    """Return whether a path is an image file's, or a local folder's that has images and no tables.

    What is hidden is left out, as where the folder is read.
    """
    if format_named(source) == "images":
        return True
    folder = source.removeprefix("file://")
    if is_remote(source) or not os.path.isdir(folder):  # noqa: PTH112 (an odd path is none)
        return False
    found = False
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        formats = {format_named(name) for name in files if not name.startswith((".", "_"))}
        if formats - {"images", None}:
            return False
        found = found or "images" in formats
    return found


def is_text_encoding(name: str) -> bool:
    """Return whether Python knows an encoding of text; it has others, which unpack bytes."""
    try:
        b"a".decode(name)
    except UnicodeError:
        return True
    except (LookupError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class MetricEntry:
    """A built-in metric.

    Attributes:
        name: as in `evaluate.metrics`; recorded as `validation/<name>` and `test/<name>`.
        mode: whether less or more is better.
        tasks: what it can be computed for.
        summary: what it is, in one sentence.
        is_default: whether it is computed where `evaluate.metrics` is not given.
    """

    name: str
    mode: Mode
    tasks: tuple[Task, ...]
    summary: str
    is_default: bool = False


_CLASSES: tuple[Task, ...] = ("classification",)
_NUMBERS: tuple[Task, ...] = ("regression",)
_POSITIVE = "of the positive class for two classes, else the mean over classes"

METRICS: dict[str, MetricEntry] = {
    entry.name: entry
    for entry in (
        MetricEntry(
            "loss", "min", (*_CLASSES, *_NUMBERS), "The training loss; always computed.", True
        ),
        MetricEntry("accuracy", "max", _CLASSES, "Share of rows predicted rightly.", True),
        MetricEntry("balanced_accuracy", "max", _CLASSES, "Mean of the classes' recalls."),
        MetricEntry(
            "f1", "max", _CLASSES, f"Harmonic mean of precision and recall, {_POSITIVE}.", True
        ),
        MetricEntry(
            "precision", "max", _CLASSES, f"Share of predictions that are right, {_POSITIVE}."
        ),
        MetricEntry("recall", "max", _CLASSES, f"Share of rows that are found, {_POSITIVE}."),
        MetricEntry(
            "roc_auc",
            "max",
            _CLASSES,
            "Area under the ROC curve; more than two classes: mean of each against the rest.",
            True,
        ),
        MetricEntry(
            "average_precision",
            "max",
            _CLASSES,
            "Area under the precision-recall curve; more than two classes: mean over classes.",
        ),
        MetricEntry("log_loss", "min", _CLASSES, "Mean negative log-likelihood, in nats."),
        MetricEntry("mse", "min", _NUMBERS, "Mean squared error, in the target's unit squared."),
        MetricEntry(
            "rmse", "min", _NUMBERS, "Root of the mean squared error, in the target's unit.", True
        ),
        MetricEntry("mae", "min", _NUMBERS, "Mean absolute error, in the target's unit.", True),
        MetricEntry("r2", "max", _NUMBERS, "Share of the target's variance explained.", True),
    )
}

RUN_METRICS: dict[str, Mode] = {
    "train/loss": "min",
    "model/num_parameters": "min",
    "samples_per_second": "max",
}
"""Metrics of a run that come from no evaluation, by their whole name."""

GOAL_PATTERN = r"^\s*(>=|<=|==|>|<)\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"


def metric_names(task: Task | None) -> list[str]:
    """Return the names of the built-in metrics for a task, or of all where it is not known."""
    return [name for name, entry in METRICS.items() if task is None or task in entry.tasks]


def default_metrics(task: Task | None) -> list[str]:
    """Return what is computed where `evaluate.metrics` is not given, the loss among it."""
    return [name for name in metric_names(task) if METRICS[name].is_default]


def metric_mode(name: str) -> Mode | None:
    """Return whether less or more is better, or None for a metric of the user's own.

    Args:
        name: `accuracy`, or with its split: `validation/accuracy`, `train/loss`.
    """
    if name in RUN_METRICS:
        return RUN_METRICS[name]
    entry = METRICS.get(name.partition("/")[2] or name)
    return entry.mode if entry else None

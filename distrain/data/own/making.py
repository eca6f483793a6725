"""A Dataset of the user's own, looked at before anything starts: its splits, forms and classes.

Nothing of its rows is written. What is kept is a manifest like that of other prepared datasets, so
that all that reads one goes on as it does; its digest is over the Dataset's import path, arguments,
length and code, and not over what the code reads: files that change behind it are not seen.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from distrain.config.data import DataSettings
from distrain.data.cache import Cache
from distrain.data.features import Transform
from distrain.data.own.batches import fields_of, form_of, kind_of_target, pair_of, target_key_of
from distrain.data.own.classes import class_labels
from distrain.data.own.found import Opened, opened, probe
from distrain.data.prepared import PreparedDataset
from distrain.data.remote_cache import RemoteCache
from distrain.data.same import KnownData
from distrain.data.shard_cache import shard_cache
from distrain.data.shards import FORMAT_VERSION, SHARD_FOLDER, write_manifest
from distrain.errors import DataError


def find(data: DataSettings, cache: Path | str) -> PreparedDataset | None:
    """Return what was made of these Datasets before; None: nothing was."""
    return _cache(data, cache, opened(data).digest).find()


def make(
    data: DataSettings, cache: Path | str, known: KnownData | None
) -> tuple[PreparedDataset, bool]:
    """Return the manifest of these Datasets as a prepared dataset, and whether it was there.

    Args:
        data: the configuration, with a `dataset`.
        cache: the folder of prepared datasets, or its URI.
        known: what it has to be; None: anything.

    Raises:
        DataError: the Datasets are at fault, or not what is known of them, or the cache cannot be
            written.
    """
    found = opened(data)
    if known is not None:
        known.check(found.digest, found.files, is_own=True)
    kept = _cache(data, cache, found.digest)
    there = kept.find()
    if there is not None and there.own is not None and there.own.has_pairs:
        return there, True
    manifest = _manifest(found)
    if there is not None:
        # What its items are may have been mended since, in files that the digest does not see.
        write_manifest(there.path, manifest)
        return kept.find() or there, True
    with kept.making() as folder:
        place = kept.place(folder, found.digest)
        if isinstance(place, Path):
            (place / SHARD_FOLDER).mkdir(parents=True)
        write_manifest(place, manifest)
        return kept.keep(place, found.digest), False


def _manifest(found: Opened) -> dict[str, Any]:
    batch = probe(found, "train")
    entry: dict[str, Any] = {
        "sections": found.sections,
        "keys": found.keys,
        "portions": {name: asdict(portion) for name, portion in found.portions.items()},
        "collate": found.data.collate,
        "target_key": None,
        "row_bytes": 0,
        "fault": None,
    }
    columns: dict[str, Any] = {}
    transform = _transform(found, batch, entry, columns)
    return {
        "digest": found.digest,
        "format": FORMAT_VERSION,
        "recipe": found.recipe,
        "sources": found.files,
        "splits": {
            name: {"num_rows": len(portion), "shards": []}
            for name, portion in found.portions.items()
        },
        "columns": columns,
        "transform": transform.to_json(),
        "profile": {},
        "findings": [],
        "dataset": entry,
    }


def _transform(
    found: Opened, batch: Any, entry: dict[str, Any], columns: dict[str, Any]
) -> Transform:
    """Return task, classes and the form of inputs; enter the target's key and what rows hold.

    Where batches are no inputs and targets, which a step of the user's own may take, the fault is
    entered.
    """
    data, name = found.data, found.sections["train"]["target"]
    asked = data.target if isinstance(data.target, str) else None
    try:
        key = target_key_of(batch, asked, name)
        x, y = pair_of(batch, key, name)
        form, tensors = form_of(x, name)
        kind = kind_of_target(y, name)
    except DataError as fault:
        if data.task is not None or data.num_classes is not None:
            raise
        entry["fault"] = fault.to_json()
        return Transform("own", [])
    stated = data.task or ("classification" if data.num_classes is not None else kind)
    entry["target_key"] = key
    entry["row_bytes"] = sum(_bytes_of(tensor) for tensor in tensors.values()) // len(y)
    fields = fields_of(tensors, is_padded=data.collate is not None)
    for field, tensor in tensors.items():
        columns[field] = {**fields[field], "shape": [int(size) for size in tensor.shape[1:]]}
    inputs = {"form": form, "fields": fields}
    if stated == "regression":
        width = y[0].numel()
        names = [key or "y"] if width == 1 else [f"{key or 'y'}{i}" for i in range(width)]
        columns["y"] = {"dtype": "float32", "shape": [width]}
        return Transform(
            stated, names, target_mean=[0.0] * width, target_std=[1.0] * width, inputs=inputs
        )
    columns["y"] = {"dtype": "int64", "shape": []}
    labels = class_labels(found.data, found.sections["train"], found.portions["train"], key)
    positive = _positive(data, labels) if len(labels) == 2 else None
    return Transform(stated, [key or "y"], classes=labels, positive=positive, inputs=inputs)


def _positive(data: DataSettings, labels: Sequence[Any]) -> int:
    if data.positive is None:
        return 1
    texts = [str(label) for label in labels]
    if str(data.positive) not in texts:
        raise DataError(
            f"{data.positive!r} is no class of the Dataset",
            where="data.positive",
            expected=f"one of {', '.join(texts)}",
            mend="Name one of them",
        )
    return texts.index(str(data.positive))


def _bytes_of(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _cache(data: DataSettings, cache: Path | str, digest: str) -> Cache | RemoteCache:
    if isinstance(cache, Path):
        return Cache(cache, digest)
    return RemoteCache(cache, digest, shard_cache(data.cache.local_path, data.cache.max_bytes))

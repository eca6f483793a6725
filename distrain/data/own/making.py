"""A Dataset of the user's own, looked at before anything starts: its splits, forms and classes.

Nothing of its rows is written. What is kept is a manifest like that of other prepared datasets, so
that all that reads one goes on as it does; its digest is over the Dataset's import path, arguments,
length and code, and not over what the code reads: files that change behind it are not seen.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch

from distrain.config.data import DatasetTarget, DataSettings
from distrain.config.environment import expanded
from distrain.data.cache import Cache, digest_of
from distrain.data.features import Transform
from distrain.data.own.batches import (
    form_of,
    kind_of_target,
    pair_of,
    same_values,
    target_key_of,
)
from distrain.data.own.classes import class_labels
from distrain.data.own.opened import collate_of
from distrain.data.own.opening import forget_opened, length_of, open_dataset
from distrain.data.own.reading import EVALUATION, KeyedReader, read
from distrain.data.own.split import Portion
from distrain.data.prepared import PreparedDataset
from distrain.data.remote_cache import RemoteCache
from distrain.data.same import KnownData
from distrain.data.shard_cache import shard_cache
from distrain.data.shards import FORMAT_VERSION, SHARD_FOLDER, SPLITS, write_manifest
from distrain.errors import DataError
from distrain.track.source_files import source_files
from distrain.track.user_code import find_user_code

_PROBE_ROWS: Final = 2
_FORM: Final = 1
# What was opened since a command began: its code is looked through once.
_known: Final[dict[str, "Opened"]] = {}


@final
@dataclass(frozen=True)
class Opened:
    """The Datasets of a configuration, opened.

    Attributes:
        data: the configuration.
        sections: target and arguments of each split's Dataset.
        keys: the configuration key of each.
        portions: which rows each split has.
        files: the user's own code, each file with `uri`, `num_bytes`, `num_rows` and `sha256`.
    """

    data: DataSettings
    sections: dict[str, dict[str, Any]]
    keys: dict[str, str]
    portions: dict[str, Portion]
    files: list[dict[str, Any]]

    @property
    def recipe(self) -> dict[str, Any]:
        """Return all that the rows depend on, but for code and what it reads."""
        split = self.data.split.model_dump(mode="json")
        return {
            "dataset_form": _FORM,
            "sections": self.sections,
            "collate": self.data.collate,
            "task": self.data.task,
            "target": self.data.target,
            "positive": self.data.positive,
            "num_classes": self.data.num_classes,
            "split": split,
            "rows": {name: len(portion) for name, portion in self.portions.items()},
            "has_test_source": self.data.test_dataset is not None,
        }

    @property
    def digest(self) -> str:
        """Return the dataset's digest."""
        code = [[file["uri"], file["sha256"]] for file in self.files]
        filled = {name: expanded(section["args"]) for name, section in self.sections.items()}
        return digest_of(FORMAT_VERSION, self.recipe, filled, code)


def opened(data: DataSettings, *, anew: bool = False) -> Opened:
    """Return the Datasets of a configuration: imported, made and measured.

    Args:
        data: the configuration, with a `dataset`.
        anew: whether what was opened before in this process is forgotten.

    Raises:
        ModelError: something cannot be imported.
        DataError: something is no map-style Dataset, or has no rows.
    """
    if anew:
        forget_opened()
        _known.clear()
    assert data.dataset is not None
    key = json.dumps(expanded(data.model_dump(mode="json")))
    if key not in _known:
        _known[key] = _opened(data, data.dataset)
    return _known[key]


def _opened(data: DataSettings, dataset: DatasetTarget) -> Opened:
    apart = {"validation": data.validation_dataset, "test": data.test_dataset}
    sections, keys = {"train": _section(dataset)}, {"train": "data.dataset"}
    for name, own in apart.items():
        sections[name] = _section(own or dataset, is_evaluated=own is None)
        keys[name] = f"data.{name}_dataset" if own is not None else "data.dataset"
    lengths = {
        name: length_of(open_dataset(section, keys[name]), keys[name], section["target"])
        for name, section in sections.items()
    }
    collate_of(data.collate)
    portions = _portions(data, lengths)
    return Opened(data, sections, keys, portions, _code(data, sections))


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
    if there is not None:
        return there, True
    manifest = _manifest(found)
    with kept.making() as folder:
        place = kept.place(folder, found.digest)
        if isinstance(place, Path):
            (place / SHARD_FOLDER).mkdir(parents=True)
        write_manifest(place, manifest)
        return kept.keep(place, found.digest), False


def look(data: DataSettings) -> Opened:
    """Return the Datasets of a configuration, of which two rows were read.

    Raises:
        ModelError, DataError: something is wrong with them that this shows.
    """
    found = opened(data, anew=True)
    for name, portion in found.portions.items():
        if len(portion):
            _probe(found, name)
    return found


def _section(own: DatasetTarget, *, is_evaluated: bool = False) -> dict[str, Any]:
    instead = own.evaluation_args if is_evaluated and own.evaluation_args else {}
    return {"target": own.target, "args": {**own.args, **instead}}


def _portions(data: DataSettings, lengths: Mapping[str, int]) -> dict[str, Portion]:
    """Return which rows each split has: whole Datasets, and shares of a shuffled one."""
    total = lengths["train"]
    apart = {"validation": data.validation_dataset, "test": data.test_dataset}
    fractions = {"validation": data.split.validation, "test": data.split.test or 0.0}
    portions, taken = {}, 0
    key = f"split/{data.split.seed}"
    for name, own in apart.items():
        if own is not None:
            portions[name] = Portion(0, lengths[name], lengths[name], None)
            continue
        if lengths[name] != total:
            raise DataError(
                f"with data.dataset.evaluation_args it has {lengths[name]:,} rows",
                where="data.dataset",
                expected=f"{total:,}, as without: the same rows, of which some are held out",
                mend="Give validation_dataset or test_dataset for rows that are others",
            )
        share = round(total * fractions[name])
        portions[name] = Portion(taken, taken + share, total, key)
        taken += share
    is_whole = taken == 0
    portions["train"] = Portion(taken, total, total, None if is_whole else key)
    return {name: portions[name] for name in SPLITS}


def _code(data: DataSettings, sections: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the user's own files that the Datasets are made by, in a fixed order."""
    targets = [*(section["target"] for section in sections.values()), data.collate]
    roots = {root for target in targets for root in find_user_code(target)}
    files = {name: path for root in sorted(roots) for name, path in source_files(root)}
    return [
        {
            "uri": name,
            "num_bytes": path.stat().st_size,
            "num_rows": None,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for name, path in files.items()
        if path.suffix == ".py"
    ]


def _probe(found: Opened, name: str) -> Any:
    """Return a batch of the first rows of a split, which is read twice.

    Raises:
        DataError: the second time it is another.
    """
    section, portion = found.sections[name], found.portions[name]
    dataset = open_dataset(section, found.keys[name])
    reader = KeyedReader(dataset, collate_of(found.data.collate), 0, section["target"])
    rows = np.arange(min(_PROBE_ROWS, len(portion)), dtype=np.int64)
    epoch = "0" if name == "train" else EVALUATION
    [first], [second] = (read(reader, epoch, [portion.numbers(rows)]) for _ in range(2))
    if not same_values(first, second):
        raise DataError(
            "rows that are read twice, with the same random numbers, come out otherwise",
            where=section["target"],
            expected="what __getitem__ draws to come from torch, numpy.random or random, which are "
            "seeded for each row and epoch",
            mend="Draw from these, and not from numpy.random.default_rng(), a generator of the "
            "Dataset's own, os.urandom or the time",
        )
    return first


def _manifest(found: Opened) -> dict[str, Any]:
    batch = _probe(found, "train")
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
    try:
        transform = _transform(found, batch, entry, columns)
    except DataError as fault:  # a step of the user's own takes any batch: see `check_pairs`
        if found.data.task is not None or found.data.num_classes is not None:
            raise
        entry["fault"] = fault.to_json()
        transform = Transform("own", [])
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
    """Return task, classes and the form of inputs; enter the target's key and what rows hold."""
    data, name = found.data, found.sections["train"]["target"]
    asked = data.target if isinstance(data.target, str) else None
    key = target_key_of(batch, asked, name)
    x, y = pair_of(batch, key, name)
    form, tensors = form_of(x, name)
    kind = kind_of_target(y, name)
    stated = data.task or ("classification" if data.num_classes is not None else kind)
    entry["target_key"] = key
    entry["row_bytes"] = sum(_bytes_of(tensor) for tensor in tensors.values()) // len(y)
    is_padded = data.collate is not None
    fields: dict[str, dict[str, Any]] = {
        field: {
            "dtype": str(tensor.numpy().dtype),
            "shape": [-1 if is_padded else int(size) for size in tensor.shape[1:]],
        }
        for field, tensor in tensors.items()
    }
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

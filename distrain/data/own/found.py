"""The Datasets of a configuration: made, measured, and read a little, before anything starts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from distrain.config.data import DatasetTarget, DataSettings
from distrain.config.environment import expanded
from distrain.data.cache import digest_of
from distrain.data.own.batches import same_values
from distrain.data.own.opened import collate_of
from distrain.data.own.opening import forget_opened, length_of, open_dataset
from distrain.data.own.reading import EVALUATION, KeyedReader, read
from distrain.data.own.split import Portion
from distrain.data.shards import FORMAT_VERSION, SPLITS
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


def look(data: DataSettings) -> Opened:
    """Return the Datasets of a configuration, of which two rows were read.

    Raises:
        ModelError, DataError: something is wrong with them that this shows.
    """
    found = opened(data, anew=True)
    for name, portion in found.portions.items():
        if len(portion):
            probe(found, name)
    return found


def probe(found: Opened, name: str) -> Any:
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
    if taken >= total:
        raise DataError(
            f"no row is left for training, of {total:,}",
            where="data.split",
            expected="at least one training row",
            mend="Make the other splits smaller, or give a larger Dataset",
        )
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

"""How many classes a Dataset has, and what they are called."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from distrain.config.data import DataSettings
from distrain.data.features import Label
from distrain.data.own.batches import kind_of_target, no_classes, pair_of
from distrain.data.own.opened import collate_of
from distrain.data.own.opening import open_dataset
from distrain.data.own.reading import KeyedReader, read
from distrain.data.own.split import Portion
from distrain.data.plan import evaluation_batches
from distrain.errors import DataError

_READ_ROWS = 256


def class_labels(
    data: DataSettings, section: Mapping[str, Any], portion: Portion, key: str | None
) -> list[Label]:
    """Return the classes of a Dataset in the order of their numbers: names, or the numbers.

    They are told by `data.num_classes`, the Dataset's `classes` or `targets`, as torchvision has
    them, the last tensor of a `TensorDataset`, or its training rows, which are then all read once.

    Args:
        data: the configuration.
        section: the Dataset's.
        portion: its training rows.
        key: of the target in a dict.

    Raises:
        DataError: a target is no class.
    """
    dataset = open_dataset(section, "data.dataset")
    names = _names(dataset)
    count = data.num_classes or len(names) or _from_targets(dataset)
    if count is None:
        reader = KeyedReader(dataset, collate_of(data.collate), 0, section["target"])
        count = _from_rows(reader, portion, key, section["target"])
    return list(names) if len(names) == count else list(range(count))


def _names(dataset: Any) -> list[str]:
    """Return the names of the classes, where the Dataset, or what it is a part of, has them."""
    found: Any = getattr(_whole(dataset, "classes"), "classes", None)
    names = list(found) if isinstance(found, list | tuple) else []
    is_text = all(isinstance(name, str) for name in names)
    return names if is_text and len(set(names)) == len(names) else []


def _from_targets(dataset: Any) -> int | None:
    whole = _whole(dataset, "targets")
    is_tensors = isinstance(whole, torch.utils.data.TensorDataset)
    targets = whole.tensors[-1] if is_tensors else getattr(whole, "targets", None)
    try:
        values = np.asarray(targets)
    except (TypeError, ValueError, RuntimeError):
        return None
    is_whole = values.ndim == 1 and values.size and values.dtype.kind in "iu"
    return int(values.max()) + 1 if is_whole else None


def _whole(dataset: Any, attribute: str) -> Any:
    """Return a Dataset that has an attribute: itself, or what it is a `Subset` of."""
    while not hasattr(dataset, attribute) and isinstance(dataset, torch.utils.data.Subset):
        dataset = dataset.dataset
    return dataset


def _from_rows(reader: KeyedReader, portion: Portion, key: str | None, name: str) -> int:
    most = 0
    for start, stop in evaluation_batches(len(portion), _READ_ROWS):
        numbers = portion.numbers(np.arange(start, stop, dtype=np.int64))
        [batch] = read(reader, "0", [numbers])
        _, y = pair_of(batch, key, name)
        if kind_of_target(y, name) != "classification":
            raise no_classes(y, name)
        if int(y.min()) < 0:
            raise DataError(
                f"a target is {int(y.min())}",
                where=name,
                expected="whole numbers from 0, the class of each item",
                mend="Correct the Dataset, or set data.task to regression",
            )
        most = max(most, int(y.max()))
    return most + 1

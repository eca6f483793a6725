"""A map-style torch Dataset of the user's own: found by import path, made, and looked at.

All that is read of one comes through `open_dataset`.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any, Final

from torch.utils.data import IterableDataset

from distrain.config.environment import expanded
from distrain.errors import DataError
from distrain.models.build import seeded
from distrain.models.target import load_target

# What a Dataset draws when it is made has to be the same on every worker, in every run.
_MAKING_SEED: Final = 0
_KEPT: Final = 4


def open_dataset(section: Mapping[str, Any], key: str) -> Any:
    """Return the Dataset that a section describes; one that was made before is used again.

    Args:
        section: `{"target": "package.module:Class", "args": {...}}`.
        key: the configuration key, such as `data.dataset`, for messages.

    Raises:
        ModelError: it cannot be imported.
        ConfigError: a variable in its arguments is not set.
        DataError: it cannot be made, or its rows cannot be asked for by number.
    """
    return _opened(json.dumps([section["target"], expanded(section.get("args") or {})]), key)


def forget_opened() -> None:
    """Let Datasets be made anew: their code, or what they read, may have changed."""
    _opened.cache_clear()


def length_of(dataset: Any, key: str, target: str) -> int:
    """Return the number of rows of a Dataset.

    Args:
        dataset: the Dataset.
        key: the configuration key, for messages.
        target: its import path, for messages.

    Raises:
        DataError: it has none, or does not tell.
    """
    try:
        length = len(dataset)
    except Exception as fault:  # the user's code may raise anything; told with its cause
        raise DataError(
            f"len() of {target} failed: {type(fault).__name__}: {fault}",
            where=key,
            expected="the number of its rows",
            mend="Correct its __len__",
        ) from fault
    if length < 1:
        raise DataError(
            f"{target} has no rows",
            where=key,
            expected="at least one",
            mend="Correct its arguments: does it look in the right place?",
        )
    return length


@functools.lru_cache(maxsize=_KEPT)
def _opened(section: str, key: str) -> Any:
    target, args = json.loads(section)
    maker = load_target(target, where=f"{key}.target")
    try:
        with seeded(_MAKING_SEED):
            made = maker(**args)
    except (Exception, SystemExit) as fault:  # the user's code may raise anything, or leave
        shown = ", ".join(f"{name}={value!r}" for name, value in args.items())
        raise DataError(
            f"{target}({shown}) failed: {type(fault).__name__}: {fault}",
            where=f"{key}.args",
            expected="arguments that the Dataset can be made with",
            mend=f"Correct {key}.args or the class",
        ) from fault
    check_map_style(made, f"{key}.target", target)
    return made


def check_map_style(made: Any, where: str, target: str) -> None:
    """Return where the rows of a Dataset can be asked for by number.

    Args:
        made: the Dataset, or its class.
        where: what it was given by, for messages.
        target: what it is called in them.

    Raises:
        DataError: they cannot.
    """
    kind = made if isinstance(made, type) else type(made)
    if issubclass(kind, IterableDataset):
        raise DataError(
            f"{target} is an IterableDataset, whose rows come in an order of its own",
            where=where,
            expected="a map-style Dataset, with __len__ and __getitem__(number): which rows make "
            "up a step is planned, so that none is repeated or lost",
            mend="Look rows up by number in __getitem__ (an index of their places in the files "
            "does it), or write them to Parquet and give data.source with data.ingest: stream",
        )
    absent = [name for name in ("__len__", "__getitem__") if not hasattr(made, name)]
    if absent:
        raise DataError(
            f"{target} gives a {type(made).__name__}, which has no {' and no '.join(absent)}",
            where=where,
            expected="a map-style torch Dataset, with __len__ and __getitem__",
            mend="Name the Dataset's class, or a function that gives a Dataset",
        )

"""torch Datasets that are handed over, as `data.dataset` and its like name them.

A class, a function, or a `functools.partial` of one with plain arguments is named as it is. What
exists is written down, and made again once before anything starts, to see whether it is the same.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from distrain.data.own.opening import check_map_style, length_of
from distrain.data.own.reading import EVALUATION, KeyedReader, read
from distrain.errors import ConfigError, DataError, first_line
from distrain.handed.describing import Describer
from distrain.handed.package import Package
from distrain.handed.rows import is_of
from distrain.handed.store import Store
from distrain.handed.subject import Subject
from distrain.models.build import seeded
from distrain.models.target import load_target

_COMPARED_ROWS: Final = 2
_TAKEN: Final = (
    "a pandas DataFrame, an Arrow table, a ray.data.Dataset, a map-style torch Dataset (an object, "
    "its class, or a functools.partial of that), the path of a file, or the section `data` as a "
    "mapping"
)


def is_dataset(data: Any) -> bool:
    """Return whether this is a Dataset with rows by number, or makes one."""
    if isinstance(data, functools.partial) or _is_definition(data):
        return True
    if isinstance(data, Dataset):
        return True
    is_plain = isinstance(data, str | bytes | list | tuple | Mapping | np.ndarray | torch.Tensor)
    has_rows = hasattr(type(data), "__len__") and hasattr(type(data), "__getitem__")
    return has_rows and not is_plain and not is_of(data, "datasets", "Dataset")


def section_of(word: str, data: Any, package: Package) -> dict[str, Any]:
    """Take in a Dataset, and return the section that names it.

    Args:
        word: what it was handed over as: `data`, `validation_data`, `test_data`.
        data: the Dataset, its class, a function that makes one, or a partial of these.
        package: what keeps it.

    Raises:
        DistrainError: it cannot be kept, or its rows cannot be asked for by number.
    """
    maker = data.func if isinstance(data, functools.partial) else data
    if not _is_definition(maker):
        if isinstance(data, functools.partial):
            raise refusal(word, data)
        check_map_style(data, word, type(data).__name__)
        return {"target": package.value(_function_of(word), data, _subject(word, type(data)))}
    if isinstance(maker, type) and issubclass(maker, IterableDataset):
        check_map_style(maker, word, maker.__name__)
    if not isinstance(data, functools.partial):
        return {"target": package.path_of(data, word)}
    if data.args or not _is_plain(data.keywords):
        named = _function_of(word)
        return {"target": package.value(named, data, _subject(word, maker), is_called=True)}
    return {"target": package.path_of(maker, word), "args": dict(data.keywords)}


def check_remade(word: str, data: Any, section: Mapping[str, Any], package: Package) -> None:
    """Return where a Dataset that was taken in as it is comes back the same, once it is kept.

    Args:
        word: as for `section_of`.
        data: as for `section_of`.
        section: what that has returned, with the module's name.
        package: what keeps it.

    Raises:
        DataError: its length or its first rows are others, or its rows cannot be read.
    """
    if _is_definition(data) or isinstance(data, functools.partial):
        return
    name = type(data).__name__
    num_rows = length_of(data, word, name)
    with package.importable(), seeded(0):
        try:
            again = load_target(section["target"], where=word)()
        except Exception as fault:  # the user's classes may raise anything; told with its cause
            raise _another(
                word, name, f"it cannot be made ({type(fault).__name__}: {first_line(fault)})"
            ) from fault
        if len(again) != num_rows:
            raise _another(word, name, f"it has {len(again):,} rows, and not {num_rows:,}")
        numbers = np.arange(min(_COMPARED_ROWS, num_rows), dtype=np.int64)
        before, after = (_items(one, numbers, f"{word} {name}") for one in (data, again))
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        if _fingerprint(one) != _fingerprint(other):
            raise _another(word, name, f"row {number} is another")


def refusal(word: str, data: Any) -> ConfigError:
    """Return the error of something that cannot be handed over as data."""
    told, mend = _refused(data)
    return ConfigError(f"{word} is {told}", where=word, expected=_TAKEN, mend=mend)


def no_rows_apart(word: str) -> ConfigError:
    """Return the error of validation rows that are a table of their own."""
    return ConfigError(
        f"{word} is a table",
        where=word,
        expected="a torch Dataset beside one as data; of rows, data.split says which are validated "
        "on",
        mend="Put both into one frame with a column that says train or validation, and name it: "
        "data=pandas.concat([train, validation]), overrides=['data.split.kind=fixed', "
        "'data.split.column=split']",
    )


def _refused(data: Any) -> tuple[str, str]:
    kind = f"of type {type(data).__module__}.{type(data).__qualname__}"
    if isinstance(data, DataLoader):
        beside = "" if data.collate_fn is default_collate else ", collate=loader.collate_fn"
        return (
            "a DataLoader, whose batches come in an order of its own",
            f"Hand over its Dataset: data=loader.dataset{beside}, "
            f"train={{'global_batch_size': {data.batch_size or 64}}}",
        )
    if is_of(data, "datasets", "Dataset"):
        return kind, "Hand over dataset.to_pandas(), or a Dataset of your own that holds its path"
    arrays = (np.ndarray, torch.Tensor)
    if isinstance(data, arrays) or (
        isinstance(data, tuple) and any(isinstance(one, arrays) for one in data)
    ):
        return kind, (
            "Hand over torch.utils.data.TensorDataset(torch.tensor(x, dtype=torch.float32), "
            "torch.tensor(y)), or a DataFrame with names for the columns"
        )
    return kind, (
        "Make a DataFrame of it, or a torch Dataset, a class with __len__ and __getitem__(number); "
        "or write it to a file and name that by data.source"
    )


def _is_definition(data: Any) -> bool:
    return isinstance(data, type) or (callable(data) and hasattr(data, "__qualname__"))


def _function_of(word: str) -> str:
    return f"handed_{word}"


def _subject(word: str, kind: Any) -> Subject:
    return Subject(
        word=word,
        error=DataError,
        expected="a Dataset that is made of its class and attributes: numbers, text, lists, "
        "tensors, arrays, frames, and objects that are made of such",
        otherwise="Keep what it is made of, and make it in __getitem__ when it is first needed",
        instead=f"its class with arguments, as {word}=functools.partial({kind.__name__}, ...), "
        "which each worker makes anew",
    )


def _is_plain(values: Mapping[str, Any]) -> bool:
    """Return whether a configuration can hold these arguments."""
    try:
        return bool(json.loads(json.dumps(values, allow_nan=False)) == values)
    except (TypeError, ValueError, RecursionError):
        return False


def _items(dataset: Any, numbers: np.ndarray[Any, Any], name: str) -> list[Any]:
    """Return some rows as they are, with the random numbers that evaluation has for them."""
    found: list[Any] = read(KeyedReader(dataset, _as_it_is, 0, name), EVALUATION, [numbers])[0]
    return found


def _as_it_is(items: list[Any]) -> list[Any]:
    return items


def _fingerprint(item: Any) -> Any:
    """Return what tells an item from others; of one that cannot be written down, its class."""
    kinds: Callable[[Any, str], str] = lambda kind, _: str(kind.__qualname__)  # noqa: E731
    store = Store()
    describer = Describer(kinds, _subject("item", type(item)), store)
    try:
        root = describer.value(item, "")
    except DataError:
        return type(item).__qualname__
    return json.dumps([root, describer.tables(), store.pack()])


def _another(word: str, name: str, told: str) -> DataError:
    return DataError(
        f"made again from its class and attributes, {told}",
        where=f"{word} {name}",
        expected="a Dataset that these tell all of",
        mend=f"Hand over its class with arguments: {word}=functools.partial({name}, ...)",
    )

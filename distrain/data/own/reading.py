"""Rows of a Dataset, read one by one and put together, each with random numbers of its own.

What a row draws from torch, `numpy.random` or `random` is keyed by the run's seed, the epoch and
its number, whoever reads it, so that it is the same on any number of workers and reading processes.
Seeding a generator takes as long as many a row: so rows are first read without, and only where they
have drawn from one they are read again, that one seeded for each; from then on it always is. Either
way the rows are the same.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import length_hint
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data._utils.collate import (
    collate,
    collate_tensor_fn,
    default_collate_fn_map,
)

from distrain.data.own.drawing import (
    Keys,
    NumpySource,
    PythonSource,
    Source,
    TorchSource,
    seed_all,
)
from distrain.data.own.faults import not_collated, not_read, not_read_together
from distrain.errors import DataError

EVALUATION: Final = "evaluation"
"""Stands for the epoch in the keys of rows that are evaluated: they are the same each time."""


@final
@dataclass(frozen=True)
class Request:
    """Batches to read.

    Attributes:
        epoch: the epoch's number, or `EVALUATION`.
        parts: the rows of each batch by their numbers in the Dataset, int64, `(rows,)` each.
    """

    epoch: str
    parts: list[npt.NDArray[np.int64]]


@final
class KeyedReader:
    """Reads batches of a Dataset. `torch.utils.data.DataLoader` takes it for a Dataset itself.

    Args:
        dataset: the user's.
        collate: makes a batch of a list of items; None: torch's `default_collate`.
        seed: the run's seed.
        name: what the Dataset is called in messages.
    """

    def __init__(
        self, dataset: Any, collate: Callable[[list[Any]], Any] | None, seed: int, name: str
    ) -> None:
        self._dataset = dataset
        self._collate = collate
        self._seed = seed
        self._name = name
        self._sources: tuple[Source, ...] = (TorchSource(), NumpySource(), PythonSource())
        self._drawn: list[Source] = []

    def __getitem__(self, request: Request) -> list[Any] | DataError:
        """Return the batches that were asked for, or what the user's code has raised.

        An error is returned, because DataLoader would make one text of it and its traceback.
        """
        keys = Keys(self._seed, request.epoch)
        before = torch.get_num_threads()
        if before != 1:  # as in a process of DataLoader's, which has but one
            torch.set_num_threads(1)
        try:
            return [self._batch(keys, part.tolist()) for part in request.parts]
        except DataError as fault:
            # The error gets to the driver, where it was raised does not.
            traceback.print_exception(fault.__cause__ or fault)
            # An OSError of the user's code is its own, and no storage's that comes back.
            fault.__cause__ = None
            return fault
        finally:
            if before != 1:
                torch.set_num_threads(before)

    def _batch(self, keys: Keys, numbers: list[int]) -> Any:
        items = self._items(keys, numbers)
        try:
            if self._collate is None:
                return _default_collate(items)
            seed_all(self._sources, keys.of(numbers[0]))
            return self._collate(items)
        except Exception as fault:  # the user's code may raise anything; told with its cause
            raise not_collated(numbers, fault, self._name, self._collate) from fault

    def _items(self, keys: Keys, numbers: list[int]) -> list[Any]:
        """Return the items of a batch.

        They are read again, at most once for each generator, where one was drawn from that was not
        seeded for each row. That is seeded for the batch, and not for all that is read in one go:
        what draws and puts the state back is not seen, and has the same bits on any number of
        workers all the same.
        """
        while True:
            watched = [source for source in self._sources if source not in self._drawn]
            for source in watched:
                source.watch(keys.of(numbers[0]))
            items, fault = self._tried(keys, numbers)
            drawn = [source for source in watched if source.is_drawn_from()]
            if drawn:
                self._drawn += drawn
            elif fault is not None:
                raise fault
            else:
                return items

    def _tried(self, keys: Keys, numbers: list[int]) -> tuple[list[Any], DataError | None]:
        """Return the items of a batch, or what kept one from being read."""
        try:
            read = self._one_by_one if self._drawn else self._together
            return read(keys, numbers), None
        except DataError as fault:
            return [], fault

    def _together(self, keys: Keys, numbers: list[int]) -> list[Any]:
        """Return items of rows for which nothing is seeded, in one call where there is one."""
        # Of the class: what __getattr__ hands on to a Dataset within is not this one's.
        read_many = getattr(type(self._dataset), "__getitems__", None)
        if read_many is None:
            return self._one_by_one(keys, numbers)
        items, fault = None, None
        try:
            items = read_many(self._dataset, numbers)
        except Exception as raised:  # the user's code may raise anything; told with its cause
            fault = raised
        if isinstance(items, list) and len(items) == len(numbers):
            return items
        self._one_by_one(keys, numbers)  # tells the row
        raise not_read_together(numbers, fault, items, self._name) from fault

    def _one_by_one(self, keys: Keys, numbers: list[int]) -> list[Any]:
        dataset, drawn = self._dataset, self._drawn
        # Rows are counted by what is left of them: a list of its own accord is built fastest.
        left = iter(numbers)
        try:
            if not drawn:
                return [dataset[number] for number in left]
            return [dataset[_keyed(drawn, keys, number)] for number in left]
        except Exception as fault:  # the user's code may raise anything; told with its cause
            number = numbers[len(numbers) - length_hint(left) - 1]
            raise not_read(number, fault, self._name) from fault


def _default_collate(items: list[Any]) -> Any:
    """Return what torch's `default_collate` makes of items, in memory of this process alone.

    In a reading process torch's own makes a piece of shared memory for each batch and field, which
    takes longer than to stack the rows; `packing.py` makes one for all.
    """
    return collate(items, collate_fn_map={**default_collate_fn_map, torch.Tensor: _stacked})


def _stacked(tensors: Sequence[torch.Tensor], *, collate_fn_map: Any = None) -> Any:
    first = tensors[0]
    if first.is_nested or first.layout is not torch.strided:
        return collate_tensor_fn(tensors, collate_fn_map=collate_fn_map)  # refuses them in words
    return torch.stack(list(tensors))


def _keyed(sources: Sequence[Source], keys: Keys, number: int) -> int:
    """Return the number of a row for which generators now begin anew."""
    seed_all(sources, keys.of(number))
    return number


def read(reader: KeyedReader, epoch: str, parts: Sequence[npt.NDArray[np.int64]]) -> list[Any]:
    """Return batches, read in this process.

    Args:
        reader: of the Dataset.
        epoch: as in a `Request`.
        parts: as in a `Request`.

    Raises:
        DataError: the user's code raised something.
    """
    return unpacked(reader[Request(epoch, list(parts))])


def unpacked(answer: list[Any] | DataError) -> list[Any]:
    """Return the batches of an answer.

    Raises:
        DataError: there are none, but what the user's code has raised.
    """
    if isinstance(answer, DataError):
        raise answer
    return answer

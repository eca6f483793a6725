"""Rows of a Dataset, read one by one and put together, each with random numbers of its own.

What a row draws from torch, `numpy.random` or `random` is keyed by the run's seed, the epoch and
its number, whoever reads it, so that it is the same on any number of workers and reading processes.
Seeding three generators takes about 10 us, as long as many a row: so the rows of a part are first
read without, and only where one of them has drawn something they are read again, each seeded; from
then on all are. Either way the rows are the same.
"""

import hashlib
import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import default_collate

from distrain.errors import DataError, first_line

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
        self._draws = False

    def __getitem__(self, request: Request) -> list[Any] | DataError:
        """Return the batches that were asked for, or what the user's code has raised.

        An error is returned, because DataLoader would make one text of it and its traceback.
        """
        before = torch.get_num_threads()
        if before != 1:  # as in a process of DataLoader's, which has but one
            torch.set_num_threads(1)
        try:
            return [self._batch(request.epoch, part.tolist()) for part in request.parts]
        except DataError as fault:
            # The error gets to the driver, where it was raised does not.
            traceback.print_exception(fault.__cause__ or fault)
            # An OSError of the user's code is its own, and no storage's that comes back.
            fault.__cause__ = None
            return fault
        finally:
            if before != 1:
                torch.set_num_threads(before)

    def _batch(self, epoch: str, numbers: list[int]) -> Any:
        items = self._items(epoch, numbers)
        try:
            if self._collate is None:
                return default_collate(items)
            self._key(epoch, numbers[0])
            return self._collate(items)
        except Exception as fault:  # the user's code may raise anything; told with its cause
            raise _not_collated(numbers, fault, self._name, self._collate) from fault

    def _items(self, epoch: str, numbers: list[int]) -> list[Any]:
        if not self._draws:
            self._key(epoch, numbers[0])
            before = _states()
            items = [self._item(number) for number in numbers]
            if _same(_states(), before):
                return items
            self._draws = True
        items = []
        for number in numbers:
            self._key(epoch, number)
            items.append(self._item(number))
        return items

    def _item(self, number: int) -> Any:
        try:
            return self._dataset[number]
        except Exception as fault:  # the user's code may raise anything; told with its cause
            raise DataError(
                f"__getitem__({number}) raised {type(fault).__name__}: {first_line(fault)}",
                where=f"{self._name}, row {number}",
                expected="an item for each number from 0 to len - 1",
                mend="Correct the Dataset, or leave the row out of its length",
            ) from fault

    def _key(self, epoch: str, number: int) -> None:
        seed_row(f"{self._seed}/{epoch}/{number}")


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


def seed_row(key: str) -> None:
    """Seed torch, `numpy.random` and `random` by a text, for what is drawn on the CPU."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little") >> 1
    torch.default_generator.manual_seed(number)
    np.random.seed(number & 0xFFFFFFFF)
    random.seed(number)


def _states() -> tuple[torch.Tensor, Any, Any]:
    return torch.default_generator.get_state(), np.random.get_state(), random.getstate()


def _same(one: tuple[torch.Tensor, Any, Any], other: tuple[torch.Tensor, Any, Any]) -> bool:
    (_, keys, *rest), (_, other_keys, *other_rest) = one[1], other[1]
    return (
        torch.equal(one[0], other[0])
        and one[2] == other[2]
        and rest == other_rest
        and np.array_equal(keys, other_keys)
    )


def _not_collated(
    numbers: list[int], fault: Exception, name: str, collate: object | None
) -> DataError:
    shown = ", ".join(map(str, numbers[:4])) + (", ..." if len(numbers) > 4 else "")
    told = f"failed on rows {shown}: {type(fault).__name__}: {first_line(fault)}"
    if collate is not None:
        return DataError(
            f"data.collate {told}",
            where=name,
            expected="a batch for a list of any of its items",
            mend="Correct the function",
        )
    return DataError(
        f"torch's default_collate {told}",
        where=name,
        expected="items of tensors, arrays or numbers, each of one shape",
        mend="Let __getitem__ give items of one shape, or name a function under data.collate that "
        "pads them",
    )

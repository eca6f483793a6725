"""The rows of one split of a Dataset: which of its numbers they are, and how they are read."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from distrain.data.bijection import keyed_bijection
from distrain.data.own.batches import BatchForm, as_arrays
from distrain.data.own.packing import Packed, packed
from distrain.data.own.reading import EVALUATION, KeyedReader, Request, unpacked
from distrain.data.plan import (
    EVALUATION_BATCH_ROWS,
    EVALUATION_ROW_MULTIPLE,
    evaluation_batches,
)
from distrain.data.tensors import Rows
from distrain.errors import DataError

Numbers = npt.NDArray[np.int64]
_BATCH_BYTES: Final = 64 * 2**20
REQUESTS_AHEAD: Final = 2


@final
@dataclass(frozen=True)
class Portion:
    """Which rows of a Dataset a split has.

    Args:
        start: first place in the order of the Dataset's rows.
        stop: the place after the last.
        total: rows of the Dataset.
        key: which order; None: that of the Dataset.
    """

    start: int
    stop: int
    total: int
    key: str | None

    def __len__(self) -> int:
        return self.stop - self.start

    def numbers(self, rows: Numbers) -> Numbers:
        """Return the numbers in the Dataset of rows of the split, `(n,)`."""
        places = rows + self.start
        if self.key is None:
            return places
        return keyed_bijection(places.astype(np.uint64), self.total, self.key).astype(np.int64)


@final
class OwnSplit:
    """The rows of one split. Where training reads them, each epoch draws other numbers for them.

    Args:
        portion: which rows of the Dataset.
        open_reader: gives the reader of it, when rows are first read.
        form: how rows come out of a batch; None: batches stay as they are, for a step of the user's
            own.
        row_bytes: bytes of one row.
        num_processes: processes that read ahead.
    """

    def __init__(
        self,
        portion: Portion,
        open_reader: Callable[[], KeyedReader],
        form: BatchForm | None,
        *,
        row_bytes: int,
        num_processes: int = 0,
    ) -> None:
        self.portion = portion
        self.form = form
        self.num_processes = num_processes
        self._open_reader = open_reader
        self._row_bytes = row_bytes

    @cached_property
    def reader(self) -> KeyedReader:
        """Return what reads the Dataset, which is made now."""
        return self._open_reader()

    @property
    def num_rows(self) -> int:
        """Return the number of rows."""
        return len(self.portion)

    @property
    def batch_rows(self) -> int:
        """Return the rows of a batch in evaluation: as many as are of a size that memory holds."""
        fitting = _BATCH_BYTES // max(1, self._row_bytes)
        whole = fitting // EVALUATION_ROW_MULTIPLE * EVALUATION_ROW_MULTIPLE
        return max(EVALUATION_ROW_MULTIPLE, min(EVALUATION_BATCH_ROWS, whole))

    def rows_of(self, batch: Any, numbers: Numbers) -> Rows:
        """Return a batch as rows: inputs and targets, or all of it as inputs."""
        if self.form is None:
            return Rows(batch, torch.from_numpy(numbers), None)
        return self.form.rows(batch, len(numbers))

    def slice(self, start: int, stop: int) -> dict[str, Any]:
        """Return the rows from `start` up to, not including, `stop`, as they are evaluated.

        Returns:
            `x` in the form that batches have, `y` and, for a regression, `target`.
        """
        return next(self.slices([(start, stop)]))

    def slices(self, bounds: Sequence[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        """Yield what `slice` returns for several bounds, read ahead where processes do that."""
        for (start, stop), batch in zip(bounds, self.batches(bounds), strict=True):
            numbers = np.arange(start, stop, dtype=np.int64)
            rows = self.rows_of(batch, numbers)
            columns = {"x": as_arrays(rows.x), "y": rows.y.numpy()}
            if self.form is not None and self.form.task == "regression":
                columns["target"] = columns["y"].astype(np.float64)
            yield columns

    def batches(self, bounds: Sequence[tuple[int, int]]) -> Iterator[Any]:
        """Yield batches of rows as they are collated, for evaluation."""
        if any(not 0 <= start < stop <= self.num_rows for start, stop in bounds):
            raise IndexError(f"rows {bounds} of a split of {self.num_rows}")
        pieces = (np.arange(*one, dtype=np.int64) for one in bounds)
        requests = [Request(EVALUATION, [self.portion.numbers(piece)]) for piece in pieces]
        for [batch] in answers(self.reader, requests, self.num_processes if requests[1:] else 0):
            yield batch


def first_rows(split: OwnSplit, num_rows: int) -> Rows:
    """Return the first rows of a split, as they are evaluated; fewer where it has fewer."""
    bounds = (0, min(num_rows, split.num_rows))
    [batch] = split.batches([bounds])
    return split.rows_of(batch, np.arange(*bounds, dtype=np.int64))


def counted(split: OwnSplit, num_classes: int) -> list[int]:
    """Return the number of rows of each class of a split, all of which are read."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for columns in split.slices(evaluation_batches(split.num_rows, split.batch_rows)):
        counts += np.bincount(columns["y"], minlength=num_classes)
    return [int(count) for count in counts]


def answers(
    reader: KeyedReader,
    requests: Iterable[Request],
    num_processes: int,
    *,
    pin: bool = False,
) -> Generator[list[Any]]:
    """Yield the batches of each request, in order.

    Args:
        reader: of the Dataset.
        requests: what is read; iterated once.
        num_processes: processes that read ahead; 0: the caller reads when it asks, as another
            thread would draw from the generators that the model draws from.
        pin: whether tensors are put in pinned memory.

    Raises:
        DataError: the user's code raised something, or a process died.
    """
    loader: DataLoader[Any] = DataLoader(
        reader,  # type: ignore[arg-type]  # it has what is asked of a Dataset
        batch_size=None,
        sampler=requests,
        num_workers=num_processes,
        collate_fn=_packed if num_processes else _as_it_is,
        pin_memory=pin,
        prefetch_factor=REQUESTS_AHEAD if num_processes else None,
        generator=torch.Generator(),  # else it draws from the model's
    )
    read = iter(loader)
    try:
        for answer in read:
            yield unpacked(answer.unpacked() if isinstance(answer, Packed) else answer)
    except RuntimeError as fault:
        if "DataLoader worker" not in str(fault):
            raise
        raise DataError(
            f"a process that reads the Dataset died ({fault})",
            where="data.loader_workers",
            expected="processes that live as long as the run",
            mend="Is there memory for them (each holds the Dataset), and room in /dev/shm? Fewer "
            "take less, and with 0 the worker reads by itself",
        ) from fault
    finally:
        del read  # ends the processes, though an error that is kept may keep this frame


def _as_it_is(answer: Any) -> Any:
    return answer


def _packed(answer: list[Any] | DataError) -> Packed | DataError:
    return answer if isinstance(answer, DataError) else packed(answer)

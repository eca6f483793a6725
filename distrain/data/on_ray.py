"""Runs on Ray Data: read by units, computed on run by run, in order, faults told whole.

Nothing here changes Ray Data's global context: each data set is made and executed under a copy.
A task sets the driver's account at a cloud before it opens anything: other nodes may have none.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar, final

import pyarrow as pa
import ray
from ray._private.log import PlainRayHandler
from ray.data import DataContext, Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata

from distrain.config.environment import of_account
from distrain.data.reading import CannotCut, Reading, Unit
from distrain.data.runs import (
    Run,
    RunKey,
    fault_from_json,
    fault_to_json,
    pack_fault,
    pack_result,
    pack_run,
    read_runs,
    run_key,
    unpack_result,
    unpack_run,
)
from distrain.errors import DataError

# Blocks of about this size: small runs share a task, large ones have one of their own.
_BLOCK_BYTES: Final = 8 * 2**20
_FAULT_MARK: Final = "distrain-data-error "

T = TypeVar("T")
Runs = Dataset | tuple[Run, ...]


@final
class TaskForEach(Datasource):
    """Runs each of some functions in a task of its own.

    Args:
        functions: each yields blocks, and has a `__name__` that Ray Data shows.
    """

    def __init__(self, functions: Sequence[Callable[[], Iterator[pa.Table]]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's constructor has no annotations
        self._functions = functions

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: an estimate would make Ray Data cut the blocks further."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """Return a task for each function, whatever parallelism is asked for."""
        del parallelism, per_task_row_limit, data_context
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(function, unknown) for function in self._functions]


@final
class _UnitReader:
    """Reads one unit in a task."""

    __name__ = "read_unit"

    def __init__(self, unit: Unit, reading: Reading) -> None:
        self._unit = unit
        self._reading = reading
        self._account = of_account()

    def __call__(self) -> Iterator[pa.Table]:
        os.environ.update(self._account)
        number = 0
        try:
            for run in read_runs(self._unit, self._reading):
                number = run.number
                yield pack_run(run)
        except (DataError, CannotCut) as fault:
            yield pack_fault((self._unit.number, number), fault)


@final
class _PerRun:
    """Calls a function with each run, in a task."""

    def __init__(self, function: Callable[[Run], Any]) -> None:
        self._function = function
        self._account = of_account()

    def on_packed(self, packed: pa.Table) -> Iterator[pa.Table]:
        """Yield the function's result, or its fault, for each run of a block."""
        os.environ.update(self._account)
        for row in _rows(packed):
            try:
                run = unpack_run(row)
                yield pack_result(run.key, self._function(run))
            except (DataError, CannotCut) as fault:
                yield pack_fault(run_key(row), fault)


@contextmanager
def data_context(*, has_small_results: bool = True) -> Iterator[None]:
    """Make and execute data sets in order, quietly, with blocks that suit runs.

    What Ray Data would print goes to its log file alone.

    Args:
        has_small_results: whether what is computed takes little memory; else Ray Data holds tasks
            back that are ahead of what uses their results.
    """
    assert ray.is_initialized(), "Ray Data would start a Ray of its own"
    context = DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # With it, tasks run one at a time for the first second of every execution: Ray Data 2.60 takes
    # the cluster for empty until its autoscaler has answered.
    context.op_resource_reservation_enabled = not has_small_results
    context.target_max_block_size = _BLOCK_BYTES
    with _quiet_console(), DataContext.current(context):
        yield


@contextmanager
def _quiet_console() -> Iterator[None]:
    """Keep Ray Data's lines off the console; blocks of several threads may overlap."""
    handlers = logging.getLogger("ray.data").handlers
    consoles = [handler for handler in handlers if isinstance(handler, PlainRayHandler)]

    def is_shown(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL

    try:
        for handler in consoles:
            handler.addFilter(is_shown)
        yield
    finally:
        for handler in consoles:
            handler.removeFilter(is_shown)


def read_units(units: Sequence[Unit], reading: Reading) -> Dataset:
    """Return a data set whose rows are packed runs; nothing is read yet. Call in `data_context`."""
    dataset: Dataset = ray.data.read_datasource(
        TaskForEach([_UnitReader(unit, reading) for unit in units]),
        override_num_blocks=max(len(units), 1),
    )
    return dataset


def fits_in_object_store(units: Sequence[Unit]) -> bool:
    """Return whether the units as tables take less than half of the cluster's object store."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    store = resources.get("object_store_memory", 0.0)
    return sum(unit.memory_bytes for unit in units) < store / 2


def each_run(runs: Runs, function: Callable[[Run], T], kind: type[T]) -> Iterator[tuple[RunKey, T]]:
    """Yield what a function gives for each run, in the order of the runs; computed in tasks.

    Args:
        runs: from `read_units`; or runs that this process has, on which it computes itself.
        function: what a task calls; what it returns is brought to the driver.
        kind: the type of that, one that `plain_values` knows.

    Raises:
        DataError: the first, in the order of the runs, that reading or the function raised.
    """
    if isinstance(runs, tuple):
        yield from ((run.key, function(run)) for run in runs)
        return
    results = _map_blocks(runs, _PerRun(function).on_packed)
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow"):
        assert isinstance(batch, pa.Table), "asked for Arrow tables"
        for row in _rows(batch):
            yield unpack_result(row, kind)


def flat_rows(runs: Dataset) -> Dataset:
    """Return a data set of the rows themselves, in order."""
    return _map_blocks(runs, _unpack_rows)


def data_error_in(fault: BaseException) -> DataError | None:
    """Return the DataError that a task of `flat_rows` ended with, from what Ray made of it."""
    found = re.search(re.escape(_FAULT_MARK) + r"(\{.*\})", str(fault))
    if found is None:
        return None
    error = fault_from_json(found.group(1))
    return error if isinstance(error, DataError) else None


def _map_blocks(runs: Dataset, function: Callable[[pa.Table], Iterator[pa.Table]]) -> Dataset:
    # A batch size would keep Ray Data from computing in the task that reads (2.60).
    return runs.map_batches(function, batch_size=None, batch_format="pyarrow", zero_copy_batch=True)


def _unpack_rows(packed: pa.Table) -> Iterator[pa.Table]:
    try:
        for row in _rows(packed):
            yield unpack_run(row).table
    except (DataError, CannotCut) as fault:
        # Ray keeps an exception's text through its wrappers, but not the exception.
        raise RuntimeError(_FAULT_MARK + fault_to_json(fault)) from fault


def _rows(packed: pa.Table) -> Iterator[pa.Table]:
    return (packed.slice(row, 1) for row in range(packed.num_rows))

"""Shards of a streamed training split made in tasks of Ray Data, a task for each block of the plan.

Tasks declare no CPU: those that do wait for ever where the workers have reserved all of them (Ray
2.60.0). They are bounded in number instead, by the CPUs that nobody has reserved.
"""

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, final

import pyarrow as pa
import ray

from distrain.config.environment import of_account
from distrain.config.names import is_remote
from distrain.data.on_ray import TaskForEach
from distrain.data.prepared import PreparedDataset
from distrain.data.reading import Unit
from distrain.data.recipe import Streamed
from distrain.data.runs import one_value
from distrain.data.stream_faults import StreamFault

LEAST_TASKS: Final = 2


def shards_of_units(path: str, hub: str, units: Sequence[Unit]) -> Iterator[tuple[Any, int]]:
    """Yield references of Ray Data's blocks, in order, each with the number of shards in it.

    Call in `on_ray.data_context`.

    Args:
        path: the dataset's folder, or its URI.
        hub: who asks.
        units: of blocks of the plan, in the order that is wanted, with the files that are read.
    """
    resources: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    limit = max(LEAST_TASKS, int(resources.get("CPU", 0)))
    dataset = ray.data.read_datasource(
        TaskForEach([_BlockMaker(path, hub, unit) for unit in units]),
        override_num_blocks=len(units),
        num_cpus=0,
        concurrency=limit,
    )
    for bundle in dataset.iter_internal_ref_bundles():
        for entry in bundle.blocks:
            if entry.metadata.num_rows:
                yield entry.ref, entry.metadata.num_rows


@final
class _BlockMaker:
    """Makes the shards of one block in a task."""

    __name__ = "make_shards"

    def __init__(self, path: str, hub: str, unit: Unit) -> None:
        self._path = path
        self._hub = hub
        self._unit = unit
        self._account = of_account()

    def __call__(self) -> Iterator[pa.Table]:
        os.environ.update(self._account)
        try:
            for shard, content in opened(self._path, self._hub).make(self._unit):
                yield _packed(shard.file, content)
        except Exception as fault:  # of whatever kind: see `stream_faults.py`
            yield _packed("", b"", StreamFault.of(fault))


@lru_cache(maxsize=1)
def opened(path: str, hub: str) -> Streamed:
    """Return the dataset, opened once for each hub: a process of Ray's may serve several."""
    del hub
    return Streamed(PreparedDataset.open(path if is_remote(path) else Path(path)))


def _packed(file: str, content: pa.Buffer | bytes, fault: StreamFault | None = None) -> pa.Table:
    return pa.table(
        {
            "file": pa.array([file], pa.string()),
            "content": one_value(content),
            "fault": pa.array([fault and fault.to_json()], pa.string()),
        }
    )


def unpacked(packed: pa.Table) -> Iterator[tuple[str, pa.Buffer]]:
    """Yield the shards in one of Ray Data's blocks, on the same memory.

    Raises:
        DataError, OSError, RuntimeError: as `StreamFault` raises them.
    """
    for number in range(packed.num_rows):
        row = packed.slice(number, 1)
        fault = row.column("fault")[0].as_py()
        if fault is not None:
            StreamFault.from_json(fault).throw()
        yield row.column("file")[0].as_py(), row.column("content")[0].as_buffer()

"""Windows of a streamed training split on Ray Data, one hub for each attempt at a run.

    driver   starts a hub, and ends it with the attempt
    hub      runs Ray Data's streaming execution over the blocks of the plan, from the window that
             the run goes on in; a task for each block reads its unit and makes its shards
    worker   asks the hub for one window after the other, and gets references: its node fetches the
             shards themselves, once for all of its workers

Nothing is ahead of need by more than a window that the workers hold, one that is on its way to
them, and what Ray Data's back-pressure lets wait in the object store.

An execution of Ray Data keeps a list of all of its tasks from the beginning (Ray 2.60.0): it is
therefore cut into groups, of which each begins when its first window is asked for, while the last
one of the group before is still read from. Through a hub on a busy machine of 2 cores came 360 to
460 thousand rows/s of 21 columns from Parquet (2026-11-21).
"""

import itertools
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, final
from uuid import uuid4

import ray
from ray.data import DataContext, ExecutionResources
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distrain.config.environment import of_account
from distrain.data.files import SourceFile
from distrain.data.on_ray import data_context
from distrain.data.plan import WindowId, windows_between
from distrain.data.recipe import WINDOW_BYTES, Streamed, located
from distrain.data.stream_faults import StreamFault
from distrain.data.stream_tasks import opened, shards_of_units, unpacked
from distrain.data.streamed import Delivery, Feed

# A group of windows, which is one execution, has so many of them, or so many blocks.
GROUP_WINDOWS: Final = 32
GROUP_BLOCKS: Final = 512
ANSWER_S: Final = 1.0
POLL_S: Final = 0.5

logger = logging.getLogger(__name__)


@contextmanager
def streaming(
    path: str, seed: int, num_workers: int, files: Sequence[SourceFile] = ()
) -> Iterator[str]:
    """Keep a hub for the length of a `with` block; gives its name. Starts and ends an actor.

    Args:
        path: the dataset's folder, or its URI.
        seed: the run's seed.
        num_workers: workers that ask it for windows.
        files: the source's; none: those that the dataset was prepared from.
    """
    name = f"distrain-stream-{uuid4().hex}"
    # The hub is of no use without the driver, so it lives where that does.
    node: str = ray.get_runtime_context().get_node_id()
    actor: Any = ray.remote(_Hub)
    hub = actor.options(
        name=name,
        num_cpus=0,
        max_concurrency=num_workers + 1,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=True),
    ).remote(name, path, seed, num_workers, tuple(files), of_account())
    try:
        yield name
    finally:
        with suppress(ray.exceptions.RayError):  # it is gone, or Ray is
            ray.kill(hub)


@final
class HubFeed(Feed):
    """A worker's windows, from the hub of its attempt.

    Args:
        name: the hub's, from `streaming`.
        rank: the worker's rank.
    """

    def __init__(self, name: str, rank: int) -> None:
        self._name = name
        self._rank = rank
        self._ended = threading.Event()

    def windows(self, first: WindowId, last: WindowId) -> Iterator[Delivery]:
        """Yield each window from the first to the last, in order."""
        hub = _found(self._name)
        for number in itertools.count():
            answer: _Answer | None = None
            while answer is None:
                asked = hub.deliver.remote(self._rank, first, last, number)
                if not self._wait([asked]):
                    return
                answer = _got(asked)
            if answer.fault is not None:
                answer.fault.throw()
            if answer.window is None or not self._wait(answer.blocks):
                return
            tables = map(unpacked, _got(answer.blocks))
            yield Delivery(answer.window, dict(itertools.chain.from_iterable(tables)))

    def end(self) -> None:
        """Wait no longer for the hub."""
        self._ended.set()

    def _wait(self, refs: Sequence[Any]) -> bool:
        """Wait until all of the references can be had here; return whether that is still wanted."""
        missing = list(refs)
        while missing and not self._ended.is_set():
            _, missing = ray.wait(missing, num_returns=len(missing), timeout=POLL_S)
        return not self._ended.is_set()


@final
@dataclass(frozen=True)
class _Answer:
    """What the hub tells a worker.

    Attributes:
        window: the window that was asked for; None: there are no more.
        blocks: references of Ray Data's blocks with its shards.
        fault: why there are no more.
    """

    window: WindowId | None = None
    blocks: list[Any] = field(default_factory=list)
    fault: StreamFault | None = None


@final
class _Hub:
    """Holds the windows that some worker is still to be told of, and has the next one made.

    Args:
        name: its name.
        path: the dataset's folder, or its URI.
        seed: the run's seed.
        num_workers: workers that ask.
        files: the source's; none: those that the dataset was prepared from.
        account: the driver's at a cloud, as variables.
    """

    def __init__(
        self,
        name: str,
        path: str,
        seed: int,
        num_workers: int,
        files: Sequence[SourceFile],
        account: Mapping[str, str],
    ) -> None:
        os.environ.update(account)
        self._name = name
        self._files = files
        self._path = path
        self._seed = seed
        self._asked = [0] * num_workers
        self._made: dict[int, _Answer] = {}
        self._changed = threading.Condition()
        self._maker: threading.Thread | None = None

    def deliver(self, rank: int, first: WindowId, last: WindowId, number: int) -> _Answer | None:
        """Return a window, None where it is not there yet.

        Args:
            rank: the worker that asks.
            first: the window that all of them begin with.
            last: the one that they end with.
            number: which window, from 0 for the first; each worker asks for one after the other.
        """
        with self._changed:
            if self._maker is None:
                self._maker = threading.Thread(target=self._make, args=(first, last), daemon=True)
                self._maker.start()
            self._asked[rank] = number
            for old in [old for old in self._made if old < min(self._asked)]:
                del self._made[old]
            self._changed.notify_all()
            self._changed.wait_for(lambda: number in self._made, ANSWER_S)
            return self._made.get(number)

    def _make(self, first: WindowId, last: WindowId) -> None:
        number = 0
        try:
            with data_context(has_small_results=False):
                options = DataContext.get_current().execution_options
                options.resource_limits = ExecutionResources.for_limits(
                    object_store_memory=WINDOW_BYTES * max(1, len(self._asked) // 2)
                )
                for answer in self._answers(first, last):
                    self._tell(number, answer)
                    number += 1
                    self._wait_until_asked(number)
        except Exception as fault:  # of whatever kind, the workers must not wait for ever
            logger.warning("the stream of training rows broke off", exc_info=fault)
            self._tell(number, _Answer(fault=StreamFault.of(fault)))
        else:
            self._tell(number, _Answer())

    def _tell(self, number: int, answer: _Answer) -> None:
        with self._changed:
            self._made[number] = answer
            self._changed.notify_all()

    def _wait_until_asked(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: max(self._asked) >= number)

    def _answers(self, first: WindowId, last: WindowId) -> Iterator[_Answer]:
        dataset = opened(self._path, self._name).dataset
        streamed = Streamed(located(dataset, self._files) if self._files else dataset)
        ahead = windows_between(streamed.blocks, self._seed, first, last)
        while group := list(_next_group(ahead)):
            units = [streamed.unit_of(block) for _, blocks in group for block in blocks]
            made = shards_of_units(self._path, self._name, units)
            for window, blocks in group:
                missing = sum(len(streamed.shards_of(block)) for block in blocks)
                refs = []
                for ref, num_shards in made:
                    refs.append(ref)
                    missing -= num_shards
                    if missing <= 0:
                        break
                yield _Answer(window, refs)


def _next_group(windows: Iterator[tuple[WindowId, list[int]]]) -> Iterator[Any]:
    num_blocks = 0
    for count, window in enumerate(windows, 1):
        yield window
        num_blocks += len(window[1])
        if count >= GROUP_WINDOWS or num_blocks >= GROUP_BLOCKS:
            return


def _found(hub: str) -> Any:
    try:
        return ray.get_actor(hub)
    except ValueError:  # there is no actor of that name
        StreamFault("lost", "what makes it has ended").throw()


def _got(refs: Any) -> Any:
    try:
        return ray.get(refs)
    except ray.exceptions.RayError as fault:
        StreamFault.of(fault).throw()

"""Waits between workers that outlast a collective call: for what storage takes long over.

    the thread that does the work        its worker, and those that have none
    read or write gigabytes              every so often: tell one another who is done
                                         go on once all are

An exchange that nobody answers ends after `cluster.collective_timeout_s`, as it should where a
worker was lost. Here each is answered in time by every worker that lives. All of it may take
`PATIENCE` times as long, as it may in a trial: storage that hangs ends the attempt in the end.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, TypeVar

import numpy as np

from distrain.train.beat import PATIENCE
from distrain.train.collective import sum_counts
from distrain.train.world import World

_BETWEEN_EXCHANGES: Final = 0.1
"""Of the timeout of one."""

_T = TypeVar("_T")


def on_rank_zero(work: Callable[[], _T], world: World) -> _T | None:
    """Let rank zero alone do something, return what it gives there and None elsewhere.

    All workers must call, and wait until it is done; where it raises, rank zero raises that, and
    the others wait for its end.

    Args:
        work: what to do, in a thread; it makes no exchange between workers.
        world: sizes and ranks.

    Raises:
        OSError: it has taken too long.
    """
    if world.world_size == 1:
        return work()
    if not world.is_rank_zero:
        await_all(lambda _: True, world)
        return None
    done: Future[_T] = Future()
    threading.Thread(target=_do, args=(work, done), name="rank-zero", daemon=True).start()
    await_all(lambda seconds: _is_well_done(done, seconds), world)
    return done.result()


def await_all(is_done: Callable[[float], bool], world: World) -> None:
    """Wait until each worker has done its own; all must call.

    Args:
        is_done: waits for this worker's, for at most so many seconds, and returns whether it is
            done; raises where it failed.
        world: sizes and ranks.

    Raises:
        OSError: it has taken too long.
    """
    ends = time.monotonic() + PATIENCE * world.collective_timeout_s
    while True:
        done = np.zeros(world.world_size, np.int64)
        done[world.world_rank] = is_done(_BETWEEN_EXCHANGES * world.collective_timeout_s)
        done = sum_counts(done, world)
        if done.all():
            return
        if world.world_size > 1 and time.monotonic() > ends:
            raise TimeoutError(
                f"the storage has kept rank {', '.join(map(str, np.flatnonzero(done == 0)))} for "
                f"{PATIENCE:g} times cluster.collective_timeout_s = {world.collective_timeout_s:g} "
                "s; raise that where a checkpoint rightly takes so long"
            )


def _do(work: Callable[[], _T], done: "Future[_T]") -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # raised where it is waited for
        done.set_exception(error)


def _is_well_done(done: "Future[_T]", seconds: float) -> bool:
    if not wait([done], timeout=seconds).done:
        return False
    done.result()
    return True

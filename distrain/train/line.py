"""A place in a cluster's line: waiting until the first workers have room, and holding it for them.

    ask Ray for a placement group of the workers: its queue is the line, and what an autoscaler
        brings nodes for
    tell what is waited for, what is free and what there is
    it is placed: hold it, until whoever starts the workers takes it over as it is
    it is not, in time: nobody is at fault; nothing has begun, and nothing is left

Where fewer workers would do, too, as many are asked for as there is room for at that moment, or a
moment later: Ray may not have heard yet that a node that has just come is free. What is held is not
let go of before the workers are in it, so that of two commands that find the same room one waits.
"""

import importlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, final

from distrain.display import Display
from distrain.errors import ClusterError, first_line
from distrain.train.nodes import Node, staying_nodes
from distrain.train.placement import Placement, room

LOOK_S: Final = 1
"""How long Ray is waited for at a time, in its whole seconds; nothing interrupts one."""
SETTLE_S: Final = 10.0
"""How long Ray may take to place what there is room for: whoever ended may be leaving still."""
FRESH_S: Final = 2.0
"""By how much what Ray tells of free resources may be late: so long nothing is said or refused."""

logger = logging.getLogger(__name__)


@final
class Line:
    """A place in line; this process must be connected. `take` as often as needed, then `release`.

    Args:
        wanted: the workers that are to be placed at once, from the least number to the most.
        wait_s: how long is waited at most, over all that is taken.
        display: told what is waited for.
        is_growing: whether an autoscaler may bring nodes: it must know what is missing.
    """

    def __init__(
        self, wanted: Placement, wait_s: float, display: Display, *, is_growing: bool
    ) -> None:
        self._wanted = wanted
        self._wait_s = wait_s
        self._display = display
        self._is_growing = is_growing
        self._waited_s = 0.0
        self._told_from = 0.0
        self._group: Any = None
        self._count = 0

    @property
    def num_held(self) -> int:
        """Return how many workers room is held for."""
        return 0 if self._group is None else self._count

    def take(self) -> int:
        """Wait until there is room, unless it is held already; return for how many workers.

        Raises:
            ClusterError: there was none in time, or the cluster went away.
        """
        if self._group is not None:
            return self._count
        began = time.monotonic()
        self._told_from = began + FRESH_S
        try:
            with telling_cluster_faults():
                # What this command itself has released may take a moment to be free.
                least_s = SETTLE_S if self._waited_s else FRESH_S
                self._take(began + max(self._wait_s - self._waited_s, least_s))
        except BaseException:  # raised again; whatever ends the wait, nothing is left in line
            self.release()
            raise
        self._waited_s += time.monotonic() - began
        return self._count

    def release(self) -> None:
        """Give back the room, or the place in line, that is held."""
        group = self.hand_over()
        if group is not None:
            _remove(group)

    def hand_over(self) -> Any:
        """Return the placement group that is held, for the caller to remove; None: none is."""
        group, self._group = self._group, None
        return group

    def _take(self, ends_at: float) -> None:
        least, most = self._wanted.min_workers, self._wanted.num_workers
        count = self._count_to_ask(ends_at)
        while not self._is_placed(count, ends_at):
            free = self._free()  # less: somebody else was there first; else Ray cannot use it
            count = max(least, free) if free < count else least
        more = min(self._free(), most - count) if self._is_growing else 0
        if more:  # a node came that has room for more of them
            self.release()
            if not self._is_placed(count + more, ends_at) and not self._is_placed(count, ends_at):
                self._is_placed(least, ends_at)

    def _count_to_ask(self, ends_at: float) -> int:
        """Return how many workers to ask for, waiting where that is told by what is free then."""
        least, most = self._wanted.min_workers, self._wanted.num_workers
        news_at = time.monotonic() + FRESH_S
        while (free := self._free()) < most:
            if free < least and (self._is_growing or least == most):
                return least
            if free < least:
                self._tell_or_end(ends_at)
            elif free >= self._room() or time.monotonic() >= news_at:
                return free
            time.sleep(LOOK_S)
        return most

    def _is_placed(self, count: int, ends_at: float) -> bool:
        """Ask for room and wait for it; False: for fewer there may be, and nothing is held.

        For the least number it is waited until there is room, or no time left.
        """
        is_least = count <= self._wanted.min_workers
        self._group, self._count = _placement_group(self._wanted, count), count
        began = time.monotonic()
        while not self._group.wait(LOOK_S):
            waited_s = time.monotonic() - began
            is_taken = waited_s > SETTLE_S or self._free() < count
            if is_taken and is_least:
                self._tell_or_end(ends_at)
            elif waited_s > SETTLE_S:  # not before: what Ray is about to place is not free either
                self.release()
                time.sleep(LOOK_S)
                return False
        return True

    def _free(self) -> int:
        """Return how many of the workers have room now."""
        return room(self._wanted, [node.free for node in _answering_nodes()])

    def _room(self) -> int:
        """Return how many of the workers would have room if nothing else ran."""
        return room(self._wanted, [node.total for node in _answering_nodes()])

    def _tell_or_end(self, ends_at: float) -> None:
        now = time.monotonic()
        if now < self._told_from:
            return
        asked, free = asked_text(self._wanted), free_text(staying_nodes())
        if now >= ends_at:
            raise ClusterError(
                f"there was no room for {asked}: {free}",
                where=f"cluster.wait_s = {self._wait_s:g}",
                expected="room in that time; nothing was started",
                mend="Raise cluster.wait_s, ask for less, or come back later",
            )
        more = "; its autoscaler may bring nodes" if self._is_growing else ""
        self._display.waiting(
            f"waiting for room for {asked}: {free}{more} (for {self._wait_s:g} s at most)"
        )


def _answering_nodes() -> list[Node]:
    return [node for node in staying_nodes() if node.answers()]


def asked_text(wanted: Placement) -> str:
    """Return in words what there must be room for: `2 workers with 1 CPU and 1 GPU each`."""
    count = wanted.min_workers
    gpu = f" and {wanted.gpu:g} GPU" if wanted.gpu else ""
    many = ("s", " each") if count > 1 else ("", "")
    return f"{count} worker{many[0]} with {wanted.cpu:g} CPU{gpu}{many[1]}"


def free_text(nodes: Sequence[Node]) -> str:
    """Return in words what is free of how much: `0 of 4 CPUs and 1 of 2 GPUs are free`."""
    parts = []
    for kind in ("CPU", "GPU"):
        free, total = (
            sum(resources.get(kind, 0) for resources in each)
            for each in ([node.free for node in nodes], [node.total for node in nodes])
        )
        if total or kind == "CPU":
            parts.append(f"{free:g} of {total:g} {kind}s")
    return f"{' and '.join(parts)} are free"


def _placement_group(wanted: Placement, count: int) -> Any:
    """Ask Ray for room for so many workers, as Ray Train and Ray Tune would."""
    util: Any = importlib.import_module("ray.util")
    bundle = {"CPU": wanted.cpu} | ({"GPU": wanted.gpu} if wanted.gpu else {})
    return util.placement_group([bundle] * count, strategy="PACK")


def _remove(group: Any) -> None:
    util: Any = importlib.import_module("ray.util")
    exceptions: Any = importlib.import_module("ray.exceptions")
    try:
        util.remove_placement_group(group)
    except exceptions.RayError as fault:  # Ray removes it with its driver, too
        logger.warning("the cluster does not take back the room that was held: %s", fault)


@contextmanager
def telling_cluster_faults() -> Iterator[None]:
    """Tell in words that the cluster goes away, for the length of a `with` block.

    Raises:
        ClusterError: it does.
    """
    exceptions: Any = importlib.import_module("ray.exceptions")
    try:
        yield
    except (exceptions.RayError, OSError) as fault:
        raise ClusterError(
            f"the cluster does not answer any more ({first_line(fault)})",
            where="waiting for room",
            expected="a cluster that stays",
            mend="Look what became of its head, then give the command again",
        ) from fault

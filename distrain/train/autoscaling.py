"""Asks a cluster that grows by itself for the workers that an elastic run lacks.

Ray's `request_resources` holds one request for the whole cluster, and an actor of Ray's own, which
adds up the requests of all trainings and data sets, replaces it every 20 s. So it is this actor
that is asked. It forgets who does not ask again: a driver that was killed leaves no machines behind
(Ray 2.60.0). A group asks for its own workers through Ray Train; what is asked here is the rest.
"""

import importlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from distrain.train.placement import Placement

ASK_AGAIN_S: Final = 20.0
FORGOTTEN_AFTER_S: Final = 180.0
_COORDINATOR: Final = "ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator"

logger = logging.getLogger(__name__)


@contextmanager
def asking_for_room(placement: Placement, name: str) -> Iterator[Callable[[int], None]]:
    """Give what asks for room for a number of workers, 0 for none, until the `with` block ends.

    Args:
        placement: the workers; where their number is fixed, nothing is ever asked for.
        name: the run's, to tell its requests from those of others.
    """
    if placement.min_workers == placement.num_workers:
        yield lambda _num_workers: None
        return
    request = _Request(placement, f"distrain-{name}")
    request.start()
    try:
        yield request.ask
    finally:
        request.close()


@final
class _Request:
    """What a run asks for, again and again. Call order: `start`, `ask` as often as liked, `close`.

    Args:
        placement: what each worker takes.
        requester: who asks.
    """

    def __init__(self, placement: Placement, requester: str) -> None:
        gpu = {"GPU": placement.gpu} if placement.gpu else {}
        self._bundle = {"CPU": placement.cpu, **gpu}
        self._requester = requester
        self._num_workers = 0
        self._is_failing = False
        self._lock = threading.Lock()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="distrain-room", daemon=True)

    def start(self) -> None:
        """Begin to repeat what is asked for."""
        self._thread.start()

    def ask(self, num_workers: int) -> None:
        """Ask for room for so many workers, instead of what was asked for before."""
        with self._lock:
            self._num_workers = num_workers
            self._send()

    def close(self) -> None:
        """Take the request back."""
        self._has_ended.set()
        self._thread.join()
        self.ask(0)

    def _repeat(self) -> None:
        while not self._has_ended.wait(ASK_AGAIN_S):
            with self._lock:
                self._send()

    def _send(self) -> None:
        try:
            _send(self._requester, [self._bundle] * self._num_workers)
        except Exception as error:
            # Ray's own inner parts, which another version may have moved: training goes on without.
            if not self._is_failing:
                logger.warning("the cluster cannot be asked for more machines: %s", error)
            self._is_failing = True


def _send(requester: str, bundles: list[dict[str, float]]) -> None:
    """Send a request to Ray's coordinator, without waiting for it; none takes the last one back."""
    coordinator: Any = importlib.import_module(_COORDINATOR).get_or_create_autoscaling_coordinator()
    if bundles:
        coordinator.request_resources.remote(
            requester_id=requester, resources=bundles, expire_after_s=FORGOTTEN_AFTER_S
        )
    else:
        coordinator.cancel_request.remote(requester)

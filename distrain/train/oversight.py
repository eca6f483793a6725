"""The driver's eyes on an attempt: workers that stand still, nodes that come or go."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, final

from distrain.background import in_background
from distrain.train.attempts import Reason
from distrain.train.beat import read_beats
from distrain.train.nodes import live_nodes
from distrain.train.placement import Placement, room
from distrain.train.watch import StallWatch
from distrain.train.worker import STOP_FILE

OVERSEE_S: Final = 1.0
NODES_EVERY: Final = 2
# A resize costs some seconds of training; a group that was just made is left alone for a while.
RESIZE_AFTER_S: Final = 10.0

logger = logging.getLogger(__name__)


@final
class Oversight:
    """Watches over one attempt; the stop file tells its workers to save their state and end.

    Args:
        run_dir: the run's folder.
        attempt: its number.
        placement: how many workers there may be.
        num_workers: how many there are.
        note: told what the user should know.
    """

    def __init__(
        self,
        run_dir: Path,
        attempt: int,
        placement: Placement,
        num_workers: int,
        note: Callable[[str], None],
    ) -> None:
        self.reason: Reason | None = None
        self._run_dir = run_dir
        self._attempt = attempt
        self._placement = placement
        self._num_workers = num_workers
        self._note = note
        self._stalls = StallWatch(run_dir)
        self._training_since: float | None = None

    def watching(self) -> AbstractContextManager[None]:
        """Watch from a thread for the length of a `with` block."""
        return in_background(self._watch, "oversight")

    def _watch(self, has_ended: threading.Event) -> None:
        looks = 0
        while not has_ended.wait(OVERSEE_S):
            looks += 1
            try:
                self._look_at_workers()
                if self.reason is None and looks % NODES_EVERY == 0:
                    self._look_at_nodes()
            except Exception:  # logged with its traceback; the next look follows
                # A control store or a disk that is away for a moment: training does not need this.
                logger.warning("a look at the workers failed; the next one follows", exc_info=True)

    def _look_at_workers(self) -> None:
        beats = read_beats(self._run_dir, self._attempt)
        if self._training_since is None and any(b.phase != "start" for b in beats.values()):
            self._training_since = time.monotonic()
        text = self._stalls.look(beats, time.monotonic())
        if text is not None:
            self._note(text)

    def _look_at_nodes(self) -> None:
        reason = self._reason_to_stop()
        if reason is not None:
            (self._run_dir / STOP_FILE).touch()
            self.reason = reason

    def _reason_to_stop(self) -> Reason | None:
        if self._training_since is None:
            return None
        nodes = live_nodes()
        own = {beat.node for beat in read_beats(self._run_dir, self._attempt).values()}
        if any(node.is_draining and node.id in own for node in nodes):
            return "preemption"
        if (
            self._num_workers < self._placement.num_workers
            and time.monotonic() - self._training_since > RESIZE_AFTER_S
            and room(self._placement, [n.free for n in nodes if not n.is_draining and n.answers()])
        ):
            return "resize"
        return None

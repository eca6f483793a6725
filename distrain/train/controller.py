"""Ray Train's controller in the driver's own process, and without the helpers that no run needs.

`TorchTrainer.fit` starts a process for its controller and three for helpers, each of which imports
Ray Train, some of them torch or Ray Data too: 3 to 6 s of CPU time each, at the start and again
after each loss, and the workers are not begun before the controller is there. Here the controller
runs in the thread that calls `fit`. Of the helpers, the one that hands out Ray data sets has none
to hand out, and the one that removes the workers' placement group, should the controller be killed
alone, has nothing to watch: Ray removes the group with its driver.

Whoever leaves a run that goes on says so (`is_left`): the thread lives as long as its process, and
would call into whatever Ray is there by then, or start one.

Ray Train waits for workers that begin without a limit, and so without end for one that is frozen
before it trains. Each of these waits ends with the workers' placement group, and so with them: that
is removed where nobody waits any more, or the workers take too long.

None of what is overridden is Ray's public interface (Ray 2.60.0).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.worker_group import Worker, WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import (
    DefaultPlacementGroupHandle,
    PlacementGroupHandle,
)
from ray.train.v2.api.result import Result
from ray.train.v2.torch.torch_trainer import TorchTrainer

from distrain.background import in_background
from distrain.train.interface import exchange_where_ray_does
from distrain.train.line import Line
from distrain.train.meeting import meet_where_ray_does

LOOK_S: Final = 0.25
TELL_S: Final = 90.0
"""How long a start may take until it is told who holds it up; longer than room is waited for."""
ANSWER_S: Final = 5.0

logger = logging.getLogger(__name__)


class LeftError(Exception):
    """Nobody waits for the run any more."""


class SlowStartError(Exception):
    """The workers did not begin in time."""


@final
@dataclass(frozen=True)
class Start:
    """How long workers are waited for that begin.

    Attributes:
        is_left: set by whoever does not wait for `fit` any more: it ends the workers, and fails.
        note: told, once, who has not begun after a while.
        limit_s: seconds after which the workers are given up.
        line: what holds room for as many workers as there are to be; None, or it holds none: Ray is
            asked for it.
    """

    is_left: threading.Event
    note: Callable[[str], None]
    limit_s: float
    line: Line | None = None


class MeetingConfig(TorchConfig):
    """A `TorchConfig` whose workers meet and exchange over the network that Ray uses."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """Return what makes the process group."""
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(exchange_where_ray_does)
        worker_group.execute(meet_where_ray_does)
        super().on_start(worker_group, backend_config)


class InProcessTrainer(TorchTrainer):
    """A `TorchTrainer` without data sets, whose `fit` is its controller too.

    Args:
        start: how long its workers are waited for.
        settings: as `TorchTrainer`'s.
    """

    def __init__(self, *settings: Any, start: Start, **named: Any) -> None:
        self._start = start
        super().__init__(*settings, **named)

    def _create_default_callbacks(self) -> list[Any]:
        unneeded = (DatasetsCallback, PlacementGroupCleanerCallback)
        callbacks = super()._create_default_callbacks()
        return [callback for callback in callbacks if not isinstance(callback, unneeded)]

    def _initialize_and_run_controller(self, **settings: Any) -> Result:
        controller: Any = _Controller(**settings)
        controller.is_left = self._start.is_left
        controller.worker_group_cls = _WorkerGroups(self._start)
        asyncio.run(controller.run())
        result: Result = controller.get_result()
        return result


class _WorkerGroup(WorkerGroup):
    """Workers that know of no controller to ask for reported checkpoints, as it is no actor.

    Where one of them dies while they meet, Ray Train forgets the others and their placement group.
    """

    def __init__(self, start: Start, **context: Any) -> None:
        super().__init__(**context)
        self._terms = start
        self._placed: PlacementGroupHandle | None = None
        self._begun: list[Worker] = []
        self._given_up: Exception | None = None

    def _start(self) -> None:
        start: Any = super()._start
        this: Any = self
        try:
            with in_background(self._watch_start, "worker-start"):
                start()
            if self._given_up is not None:
                raise self._given_up
        except Exception:  # goes through, as it came; what had begun is ended first
            if this.has_started():
                this._worker_group_state.shutdown()
                this._clear_state()
            if self._given_up is not None:
                raise self._given_up from None
            raise

    def _watch_start(self, has_begun: threading.Event) -> None:
        """End the workers where they are not to be waited for any more."""
        began = time.monotonic()
        is_told = False
        while not has_begun.wait(LOOK_S):
            waited_s = time.monotonic() - began
            if self._terms.is_left.is_set():
                self._give_up(LeftError())
            elif waited_s > self._terms.limit_s:
                self._give_up(self._given_up or SlowStartError(self._text(self._terms.limit_s)))
            elif waited_s > TELL_S and not is_told:
                is_told = True
                self._terms.note(self._text(waited_s))

    def _give_up(self, why: Exception) -> None:
        if self._placed is None:
            return
        self._given_up = why
        try:
            self._placed.shutdown()
        except ray.exceptions.RayError as error:  # the next look follows
            logger.warning("workers that have not begun cannot be ended: %s", error)

    def _text(self, waited_s: float) -> str:
        """Return who has not begun: whoever does not answer, or is still to come up."""
        told = f"the workers have not begun after {waited_s:.0f} s"
        if not self._begun:
            return f"{told}: not all of their processes have come up"
        answers: list[Any] = [worker.actor.get_metadata.remote() for worker in self._begun]
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=ANSWER_S)
        late = [
            f"rank {rank} on {worker.metadata.node_ip}"
            for rank, (worker, answer) in enumerate(zip(self._begun, answers, strict=True))
            if answer not in ready
        ]
        return f"{told}: no answer from {', '.join(late)}" if late else told

    def _create_placement_group(self, *settings: Any) -> PlacementGroupHandle:
        held = None if self._terms.line is None else self._terms.line.hand_over()
        if held is None:
            self._placed = super()._create_placement_group(*settings)
        else:
            self._placed = DefaultPlacementGroupHandle(held)
        return self._placed

    def _init_train_context_on_workers(
        self, workers: list[Worker], sync_actor: Any, train_context_args: dict[str, list[Any]]
    ) -> None:
        self._begun = workers
        begun = [
            worker.actor.init_train_context.remote(
                train_run_context=self._train_run_context,
                distributed_context=worker.distributed_context,
                synchronization_actor=sync_actor,
                storage_context=self._storage_context,
                worker_callbacks=self._worker_callbacks_to_propagate,
                controller_actor=None,
                **{name: values[rank] for name, values in train_context_args.items()},
            )
            for rank, worker in enumerate(workers)
        ]
        ray.get(begun)
        self._decorate_worker_log_file_paths(workers)


@final
class _WorkerGroups:
    """Creates groups whose start is watched; stands in for Ray Train's class of them."""

    def __init__(self, start: Start) -> None:
        self._terms = start

    def create(self, **context: Any) -> _WorkerGroup:
        group = _WorkerGroup(self._terms, **context)
        group._start()
        return group


class _Controller(TrainController):
    is_left = threading.Event()

    async def _poll_workers(self) -> Any:
        if self.is_left.is_set():
            raise LeftError
        return await super()._poll_workers()

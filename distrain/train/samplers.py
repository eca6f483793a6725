"""What measures the nodes of an attempt, one sampler on each; for the driver, which starts them.

On the driver's own node that is this process: one more costs a second of CPU time to start.
Elsewhere it is an actor of Ray that reserves nothing. One that was killed, for the machine's memory
above all, is started again at the next look; one whose node is gone is not.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distrain.train.machines import Machine, machine_of
from distrain.train.node_usage import NodeUsage

ANSWER_S: Final = 2.0
END_LOOK_S: Final = 0.1


@contextmanager
def sampling(nodes: Sequence[str], has_ended: threading.Event) -> Iterator["Samplers"]:
    """Keep samplers for the length of a `with` block; starts and ends actors.

    Args:
        nodes: Ray's ids.
        has_ended: set when no answer is waited for any longer.
    """
    samplers = Samplers(nodes, has_ended)
    try:
        yield samplers
    finally:
        samplers.close()


@final
class Samplers:
    """The samplers of some nodes; use `sampling`, all of it in one thread.

    Args:
        nodes: Ray's ids.
        has_ended: set when no answer is waited for any longer.
    """

    def __init__(self, nodes: Sequence[str], has_ended: threading.Event) -> None:
        own = ray.get_runtime_context().get_node_id()
        found = ray.nodes()  # type: ignore[no-untyped-call]  # it has no annotations
        self.machines: list[Machine] = [machine_of(node, found) for node in nodes]
        self._has_ended = has_ended
        self._own = {number: NodeUsage() for number, node in enumerate(nodes) if node == own}
        self._actors = {
            number: _start_actor(node) for number, node in enumerate(nodes) if node != own
        }
        self._asked: dict[int, Any] = {}

    def look(self) -> dict[int, dict[str, float]]:
        """Return how busy the nodes are that answer soon, by their places among the nodes.

        A node that still owes an answer to an earlier look is not asked again, and that answer is
        thrown away when it comes: it is of another time.
        """
        late = set(self._asked)
        for number in self._actors.keys() - late:
            self._asked[number] = self._actors[number].look.remote()
        found = {number: usage.look() for number, usage in self._own.items()}
        for number, answer in self._answers().items():
            with suppress(RayError):  # the node is gone, or its sampler
                found[number] = ray.get(answer)
        return {number: found[number] for number in sorted(found.keys() - late)}

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors.values():
            with suppress(RayError):  # it is gone, or Ray is
                ray.kill(actor)

    def _answers(self) -> dict[int, Any]:
        """Wait a while for those who were asked; return the references of what they answered."""
        ready: set[Any] = set()
        missing = list(self._asked.values())
        deadline = time.monotonic() + ANSWER_S
        while missing and time.monotonic() < deadline and not self._has_ended.is_set():
            done, missing = ray.wait(missing, num_returns=len(missing), timeout=END_LOOK_S)
            ready.update(done)
        numbers = [number for number, answer in self._asked.items() if answer in ready]
        return {number: self._asked.pop(number) for number in numbers}


def _start_actor(node: str) -> Any:
    actor: Any = ray.remote(NodeUsage)
    place = NodeAffinitySchedulingStrategy(node, soft=False)
    return actor.options(num_cpus=0, max_restarts=-1, scheduling_strategy=place).remote()

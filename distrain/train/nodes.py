"""The machines of a Ray cluster as they are now: which live, what is free, which will leave.

The one place that asks Ray's control store for more than `ray.nodes()` tells.
"""

import importlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

ANSWER_TIMEOUT_S: Final = 1.0
ANSWER_TRIES: Final = 2
"""One would miss who answers: TCP sends a first packet that is lost again after a second."""


@final
@dataclass(frozen=True)
class Node:
    """A machine of the cluster that counts as alive.

    Attributes:
        id: Ray's id of it.
        address: its address.
        port: where its raylet listens.
        total: its resources by Ray's names, e.g. `{"CPU": 4.0, "GPU": 1.0}`.
        free: what nobody has reserved of them.
        is_draining: whether it was announced to leave.
    """

    id: str
    address: str
    port: int
    total: Mapping[str, float]
    free: Mapping[str, float]
    is_draining: bool = False

    def answers(self) -> bool:
        """Return whether its raylet answers; Ray takes up to half a minute to miss it.

        Where nothing listens any more, that is known at once; a silent node takes two seconds.
        """
        for _ in range(ANSWER_TRIES):
            try:
                with socket.create_connection((self.address, self.port), ANSWER_TIMEOUT_S):
                    return True
            except TimeoutError:
                continue
            except OSError:
                return False
        return False


def live_nodes() -> list[Node]:
    """Return the nodes that Ray counts as alive; this process must be connected."""
    ray: Any = importlib.import_module("ray")
    state: Any = importlib.import_module("ray._private.state").state
    free = state.available_resources_per_node()
    draining = state.get_draining_nodes()
    return [
        Node(
            id=node["NodeID"],
            address=node["NodeManagerAddress"],
            port=node["NodeManagerPort"],
            total=node["Resources"],
            free=free.get(node["NodeID"], {}),
            is_draining=node["NodeID"] in draining,
        )
        for node in ray.nodes()
        if node["Alive"]
    ]

"""The machines of a Ray cluster: which live, what is free, which will leave, which died, and why.

The one place that asks Ray's control store for more than `ray.nodes()` tells.
"""

import importlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from distrain.train.growth import FIXED, Growth, NodeType

ANSWER_TIMEOUT_S: Final = 1.0
ANSWER_TRIES: Final = 2
"""One would miss who answers: TCP sends a first packet that is lost again after a second."""

AS_ASKED: Final = (1, 3, 4)
"""Ray's `NodeDeathInfo.Reason`: ended, or drained by an autoscaler, as preempted or idle."""

KV_TIMEOUT_S: Final = 10
_FIRST_VERSION: Final = b"__autoscaling_status"
_MADE_UP: Final = "node_"


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


@final
@dataclass(frozen=True)
class DeadNode:
    """A machine of the cluster that Ray counts as dead.

    Attributes:
        id: Ray's id of it.
        name: its host's name.
        address: its address.
        why: what Ray says of its end; empty: it left as it was asked to.
        is_replaced: whether a node at its address has come since.
    """

    id: str
    name: str
    address: str
    why: str
    is_replaced: bool


def dead_nodes() -> list[DeadNode]:
    """Return the nodes that Ray remembers as dead; this process must be connected."""
    ray: Any = importlib.import_module("ray")
    raylet: Any = importlib.import_module("ray._raylet")
    store = raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    known = {id_.hex(): node for id_, node in store.get_all_node_info().items()}
    began = {id_: node.start_time_ms for id_, node in known.items()}
    ended = {id_: node.end_time_ms for id_, node in known.items()}
    nodes = ray.nodes()
    return [
        DeadNode(
            id=node["NodeID"],
            name=node["NodeManagerHostname"],
            address=node["NodeManagerAddress"],
            why=_why_dead(node),
            is_replaced=any(
                other["Alive"]
                and other["NodeManagerAddress"] == node["NodeManagerAddress"]
                and began.get(other["NodeID"], 0) > ended.get(node["NodeID"], 0)
                for other in nodes
            ),
        )
        for node in nodes
        if not node["Alive"]
    ]


def _why_dead(node: Mapping[str, Any]) -> str:
    """Return what Ray says of a node's end; empty: it was drained, or left by itself."""
    if node["DeathReason"] in AS_ASKED:
        return ""
    return str(node["DeathReasonMessage"]) or "it is not known why"


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


def staying_nodes() -> list[Node]:
    """Return the nodes that are not announced to leave; this process must be connected."""
    return [node for node in live_nodes() if not node.is_draining]


def growth() -> Growth:
    """Return which nodes may still come to the cluster; this process must be connected.

    Ray has no call that tells it. An autoscaler may have reported what it brings; Ray's own ones do
    not. Their first version tells which types its nodes are of, and stands for a cluster without
    one, too, where it makes up a type for each node, by its id. The second leaves no word of its
    own, but the nodes that it was given know their type.
    """
    state: Any = importlib.import_module("ray._private.state").state
    config = state.get_cluster_config()
    if config is not None and config.node_group_configs:
        return Growth(True, tuple(_node_type(group) for group in config.node_group_configs))
    raylet: Any = importlib.import_module("ray._raylet")
    ray: Any = importlib.import_module("ray")
    store = raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    report = json.loads(store.internal_kv_get(_FIRST_VERSION, None, timeout=KV_TIMEOUT_S) or "{}")
    told = report.get("autoscaler_report") or {}
    names = {*(told.get("active_nodes") or {}), *(told.get("idle_nodes") or {})}
    if not told:
        names = _type_names(store)
    is_autoscaled = any(not name.startswith(_MADE_UP) for name in names if name)
    return Growth(True, None) if is_autoscaled else FIXED


def _type_names(store: Any) -> set[str]:
    """Return the types of the nodes that are alive, as they were started with."""
    protocol: Any = importlib.import_module("ray.core.generated.autoscaler_pb2")
    reply = protocol.GetClusterResourceStateReply()
    reply.ParseFromString(store.get_cluster_resource_state())
    return {
        node.ray_node_type_name
        for node in reply.cluster_resource_state.node_states
        if node.status != protocol.NodeStatus.DEAD
    }


def _node_type(group: Any) -> NodeType:
    return NodeType(dict(group.resources), group.max_count if group.max_count >= 0 else None)

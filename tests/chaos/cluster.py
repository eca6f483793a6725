"""A private Ray cluster of several nodes on one machine; its processes are ended by their ids."""

import os
import time
from typing import Any, final

from distrain.jobs.chaos.nodes import IMPATIENCE


@final
class ChaosCluster:
    """Nodes that can be lost, added and drained; the head stays.

    Args:
        cpus: CPUs of the head and of each further node.
    """

    def __init__(self, *cpus: int) -> None:
        from ray.cluster_utils import Cluster

        os.environ["TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S"] = "5"  # for the head's raylet
        head, *others = cpus
        self._cluster: Any = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": head,
                "include_dashboard": False,
                "_system_config": dict(IMPATIENCE),
            },
        )
        for count in others:
            self.add_node(count)

    @property
    def address(self) -> str:
        """Return HOST:PORT of the cluster."""
        return str(self._cluster.address)

    def add_node(self, num_cpus: int = 1) -> None:
        """Add a node."""
        self._cluster.add_node(num_cpus=num_cpus)

    def nodes(self) -> dict[str, Any]:
        """Return the nodes beside the head by Ray's ids."""
        return {node.node_id: node for node in self._cluster.worker_nodes}

    def kill_node(self, node_id: str) -> None:
        """End a node's raylet and its agents with SIGKILL."""
        self._cluster.remove_node(self.nodes()[node_id], allow_graceful=False)

    def drain_node(self, node_id: str, seconds: float) -> None:
        """Announce that a node will leave, as a cloud does of one that it takes back."""
        from ray._raylet import GcsClient
        from ray.core.generated import autoscaler_pb2

        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline_ms = int((time.time() + seconds) * 1000)
        accepted, why = GcsClient(address=self.address).drain_node(
            node_id, reason, "taken back", deadline_ms
        )
        assert accepted, why

    def shutdown(self) -> None:
        """End all nodes; their workers end with them."""
        self._cluster.shutdown()

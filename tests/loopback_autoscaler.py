"""Ray's autoscaler over nodes that are processes of this machine, on its loopback address."""

import functools
import os
from pathlib import Path
from typing import Any, Final, final

import ray._private.parameter
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider

from distrain.loopback import HOST

ENVIRONMENT: Final = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "PYTHONPATH": os.pathsep.join(
        (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    ),
}
"""Of the head, for its monitor, which brings the nodes."""


@final
class LoopbackProvider(FakeMultiNodeProvider):
    """Starts nodes that listen on the loopback address alone."""

    def _create_node_with_resources_and_labels(self, *settings: Any) -> None:
        made = ray._private.parameter.RayParams
        ray._private.parameter.RayParams = functools.partial(made, node_ip_address=HOST)
        try:
            super()._create_node_with_resources_and_labels(*settings)
        finally:
            ray._private.parameter.RayParams = made


def config(gcs_address: str, num_cpus: int, most: int) -> dict[str, Any]:
    """Return the configuration of a cluster that may get nodes.

    Args:
        gcs_address: the head's.
        num_cpus: of each node.
        most: nodes at most.
    """
    lists = ("setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "loopback",
        "max_workers": most,
        "provider": {
            "type": "external",
            "module": f"{LoopbackProvider.__module__}.{LoopbackProvider.__name__}",
            "gcs_address": gcs_address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "head": {"resources": {}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": {"CPU": num_cpus},
                "node_config": {},
                "min_workers": 0,
                "max_workers": most,
            },
        },
        "head_node_type": "head",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in lists},
        "initialization_commands": [],
    }

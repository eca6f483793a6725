"""One Ray for one command: a new local one, or the cluster that was named. Quiet in both cases.

A local Ray is started for the command and ended with it. It declares as many CPUs as the run needs,
so that three workers run on a two-core laptop; a cluster's resources are taken as they are.
"""

import importlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distrain.errors import ClusterError, ConfigError

MAX_LOCAL_WORKERS = 16
CONNECT_TIMEOUT_S = 3.0

# Set before `import ray`: Ray reads them once.
_QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # Warnings of the raylet are printed to stdout even where logs are kept from the driver.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "GRPC_VERBOSITY": "ERROR",
}
_NOISY_LOGGERS = ("ray", "ray.train", "ray.tune")


@dataclass(frozen=True)
class RaySession:
    """A connected Ray.

    Args:
        address: host and port of its control store.
        is_local: whether this command started it and ends it.
        resources: total resources by Ray's names, e.g. `{"CPU": 3.0, "GPU": 1.0}`.
        nodes: the resources of each node that is alive.
    """

    address: str
    is_local: bool
    resources: dict[str, float]
    nodes: tuple[dict[str, float], ...]


def wanted_address(configured: str | None) -> str:
    """Return the address to use: the configured one, else RAY_ADDRESS, else `local`."""
    return configured or os.environ.get("RAY_ADDRESS") or "local"


@contextmanager
def ray_session(
    address: str, *, num_cpus: float, worker_environment: dict[str, str] | None = None
) -> Iterator[RaySession]:
    """Connect to Ray, or start a local one, for the length of a `with` block.

    Where this process is connected already, that connection is used and left as it was.

    Args:
        address: `local`, `auto`, or HOST:PORT; `ray://` addresses are refused.
        num_cpus: CPUs that a local Ray declares.
        worker_environment: environment variables for every worker process.

    Raises:
        ClusterError: there is no Ray at that address.
        ConfigError: the address has a form that cannot work.
    """
    os.environ.update({k: v for k, v in _QUIET_ENVIRONMENT.items() if k not in os.environ})
    ray: Any = importlib.import_module("ray")
    _silence()
    if ray.is_initialized():
        yield _describe(is_local=False)
        return
    is_local = address == "local"
    if not is_local:
        _check_address(address)
    _connect(ray, address, num_cpus=num_cpus, worker_environment=worker_environment or {})
    try:
        yield _describe(is_local=is_local)
    finally:
        ray.shutdown()


def _connect(
    ray: Any, address: str, *, num_cpus: float, worker_environment: dict[str, str]
) -> None:
    runtime_env = {"env_vars": worker_environment} if worker_environment else None
    local_only = {"num_cpus": num_cpus, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env=runtime_env,
            **local_only,
        )
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster answered ({_first_line(error)})",
            where=f"cluster.address = {address}",
            expected="the address of a running cluster, local, or auto",
            mend="Start one with `ray start --head`, or leave cluster.address out to use a new "
            "local Ray",
        ) from error


def _check_address(address: str) -> None:
    """Tell a wrong or silent address within seconds, where Ray itself would wait for a minute."""
    if address == "auto":
        return
    if "://" in address:
        raise ConfigError(
            f"{address!r} is a client or dashboard address",
            where="cluster.address",
            expected="HOST:PORT of the cluster's control store, auto, or local",
            mend="Run the command on a node of the cluster and use `auto`",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(
            f"{address!r} is no address",
            where="cluster.address",
            expected="HOST:PORT, auto, or local",
            mend="Write for example 10.0.0.5:6379",
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"nothing answers there ({error})",
            where=f"cluster.address = {address}",
            expected="the address of a running Ray cluster",
            mend="Check the host, the port and the firewall, or leave cluster.address out to use "
            "a new local Ray",
        ) from error


def _describe(*, is_local: bool) -> RaySession:
    ray: Any = importlib.import_module("ray")
    nodes = tuple(dict(node["Resources"]) for node in ray.nodes() if node["Alive"])
    return RaySession(
        address=ray.get_runtime_context().gcs_address,
        is_local=is_local,
        resources=dict(ray.cluster_resources()),
        nodes=nodes,
    )


def _silence() -> None:
    """Keep Ray's own log lines off the terminal; its files below the temporary folder have them."""
    for name in _NOISY_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.propagate = False


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

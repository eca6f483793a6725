"""One Ray for one command: a new local one, or the cluster that was named. Quiet in both cases.

A local Ray is started for the command and ended with it. It declares as many CPUs as the run needs,
so that three workers run on a two-core laptop; a cluster's resources are taken as they are.
"""

import importlib
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from distrain.errors import ClusterError, ConfigError, first_line
from distrain.loopback import (
    CONNECT_TIMEOUT_S,
    HOST,
    begun_on_loopback,
    kept_on_loopback,
)
from distrain.ray_token import ask_access, ensure_token, uses_tls, why_refused

MAX_LOCAL_WORKERS = 16
_SETTINGS = b"\4"
_HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EMPTY_SETTINGS = b"\0\0\0" + _SETTINGS + b"\0" * 5

# Set before `import ray`: Ray reads them once.
_QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # Read by Ray Train's controller, which waits so long for workers that hang.
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",
    # Warnings of the raylet are printed to stdout even where logs are kept from the driver.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "GRPC_VERBOSITY": "ERROR",
}
_NOISY_LOGGERS = ("ray", "ray.train", "ray.tune")
_QUIETLY: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


_OWN: Final = threading.Event()
# So many want to run for each core that Ray's processes may not come up in the time they are given.
_BUSY: Final = 3
"""Set while this process is connected to a Ray of its own."""


@dataclass(frozen=True)
class RaySession:
    """A connected Ray.

    Args:
        is_local: whether this command started it and ends it.
    """

    is_local: bool


def wanted_address(configured: str | None) -> str:
    """Return the address to use: the configured one, else RAY_ADDRESS, else `local`."""
    return configured or os.environ.get("RAY_ADDRESS") or "local"


def is_connected() -> bool:
    """Return whether this process is connected to a Ray already; imports nothing."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def is_own_ray() -> bool:
    """Return whether `ray_session` has started the Ray that this process is connected to."""
    return _OWN.is_set()


@contextmanager
def ray_session(address: str, *, num_cpus: float) -> Iterator[RaySession]:
    """Connect to Ray, or start a local one, for the length of a `with` block.

    Where this process is connected already, that connection is used and left as it was.

    Args:
        address: `local`, `auto`, or HOST:PORT; `ray://` addresses are refused.
        num_cpus: CPUs that a local Ray declares.

    Raises:
        ClusterError: there is no Ray at that address, or a local one does not start.
        ConfigError: the address has a form that cannot work, a token cannot be kept at home, or
            RAY_USE_TLS asks for certificates that are not there.
    """
    os.environ.update({k: v for k, v in _QUIET_ENVIRONMENT.items() if k not in os.environ})
    ray: Any = importlib.import_module("ray")
    _silence()
    if ray.is_initialized():
        yield RaySession(is_local=False)
        return
    is_local = address == "local"
    if not is_local:
        _check_address(address)
    with _signals_kept():
        if is_local:
            _start_local(ray, num_cpus)
            _OWN.set()
        else:
            with kept_on_loopback(address):
                _connect(ray, address)
    try:
        yield RaySession(is_local=is_local)
    finally:
        _OWN.clear()
        ray.shutdown()


def _start_local(ray: Any, num_cpus: float) -> None:
    ensure_token()
    try:
        with _groups_of_their_own(), begun_on_loopback():
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=False,
                _node_ip_address=HOST,
                **_QUIETLY,
            )
    except Exception as error:  # what Ray raises where its processes do not come up in time
        raise ClusterError(
            f"a local Ray did not start ({first_line(error)})",
            where="this machine",
            expected="free memory, and a temporary folder with a short path that can be written",
            mend=f"{_wait_for_room()}Set RAY_TMPDIR to use another folder than /tmp; Ray's own "
            "logs are below it in ray/session_latest/logs",
        ) from error


def _wait_for_room() -> str:
    """Return the advice to wait where more wants to run on this machine than it has cores for."""
    load, num_cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < _BUSY * num_cores:
        return ""
    return f"The machine is busy, with a load of {load:.0f} on {num_cores} cores: try again later. "


def _connect(ray: Any, address: str) -> None:
    if address != "auto":
        _check_token(address)
    try:
        ray.init(address=address, **_QUIETLY)
    except ray.exceptions.AuthenticationError as error:
        raise ClusterError(
            "the cluster asks for a token, and there is none here",
            where=f"{_origin(address)} = {address}",
            expected="the token that its head was started with",
            mend="Set RAY_AUTH_TOKEN_PATH to a file that holds it, for this user alone",
        ) from error
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        if "Version mismatch" in str(error):
            raise _other_version(str(error), address) from error
        raise ClusterError(
            f"no Ray cluster answered ({first_line(error)})",
            where=f"{_origin(address)} = {address}",
            expected="the address of a running cluster, local, or auto",
            mend=f"Start one with `ray start --head`, or {_without(address)}",
        ) from error


def _check_token(address: str) -> None:
    """Tell at once that the cluster lets this process not in: Ray tries for 20 s."""
    access = ask_access(address)
    refusal = why_refused(access) if access else None
    if refusal is not None:
        raise ClusterError(
            refusal[0],
            where=f"{_origin(address)} = {address}",
            expected="the token that its head was started with",
            mend=refusal[1],
        )


def _other_version(text: str, address: str) -> ClusterError:
    """Return what Ray's own error says of two versions, there and here."""
    rays, pythons = (re.findall(rf"{name}: (\S+)", text) for name in ("Ray", "Python"))
    there, here = (
        f"Ray {ray} on Python {python}" for ray, python in zip(rays, pythons, strict=True)
    )
    return ClusterError(
        f"the cluster has {there}, this process {here}",
        where=f"{_origin(address)} = {address}",
        expected="the same Ray, and the same Python, on both sides",
        mend=f"Install {there} here, or submit the command as a job, which runs there",
    )


def _check_address(address: str) -> None:
    """Tell a wrong or silent address within seconds, where Ray itself would wait for a minute."""
    if address == "auto":
        return
    if "://" in address:
        raise ConfigError(
            f"{address!r} is a client or dashboard address",
            where=_origin(address),
            expected="HOST:PORT of the cluster's control store, auto, or local",
            mend="Run the command on a node of the cluster and use `auto`",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(
            f"{address!r} is no address",
            where=_origin(address),
            expected="HOST:PORT, auto, or local",
            mend="Write for example 10.0.0.5:6379",
        )
    try:
        is_ray = speaks_grpc(host.removeprefix("[").removesuffix("]"), int(port))
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"nothing answers there ({error})",
            where=f"{_origin(address)} = {address}",
            expected="the address of a running Ray cluster",
            mend=f"Check the host, the port and the firewall, or {_without(address)}",
        ) from error
    if not is_ray:
        raise ClusterError(
            "something answers there, but it is no Ray cluster",
            where=f"{_origin(address)} = {address}",
            expected="HOST:PORT of the cluster's control store",
            mend=f"The port is usually 6379, not the dashboard's 8265; or {_without(address)}",
        )


def speaks_grpc(host: str, port: int) -> bool:
    """Return whether a server answers HTTP/2's opening with settings of its own, as gRPC does.

    Source: RFC 9113, sections 3.4 (the opening) and 4.1 (a frame's fourth byte is its type).

    Raises:
        OSError: it cannot be reached, or says nothing in time.
    """
    with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S) as connection:
        if uses_tls():
            return True
        connection.sendall(_HTTP2_OPENING + _EMPTY_SETTINGS)
        return connection.recv(9)[3:4] == _SETTINGS


def _origin(address: str) -> str:
    """Return what named an address, for messages."""
    is_variable = address == os.environ.get("RAY_ADDRESS")
    return "RAY_ADDRESS" if is_variable else "cluster.address"


def _without(address: str) -> str:
    verb = "unset RAY_ADDRESS" if _origin(address) == "RAY_ADDRESS" else "leave it out"
    return f"{verb} to use a new local Ray"


@contextmanager
def _groups_of_their_own() -> Iterator[None]:
    """Keep signals to the command's process group from the processes of a local Ray.

    `timeout`, a shell's job control and service managers signal the whole group: Ray would be gone
    before the command could save its state. They end with the command all the same, where the
    kernel sees to it.
    """
    utils = importlib.import_module("ray._private.utils")
    if not utils.detect_fate_sharing_support():
        yield
        return
    services: Any = importlib.import_module("ray._private.services")
    popen = services.ConsolePopen
    services.ConsolePopen = partial(popen, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = popen


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put the process's handling of SIGTERM back, in whose place Ray puts a plain exit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _silence() -> None:
    """Keep Ray's own log lines off the terminal; its files below the temporary folder have them."""
    for name in _NOISY_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        if not logger.handlers:  # without one, Python prints errors
            logger.addHandler(logging.NullHandler())

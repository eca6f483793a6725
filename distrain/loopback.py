"""This machine's loopback address: which hosts are it, and a Ray on it alone, begun or joined.

Such a Ray is what a command has for itself, what `distrain cluster up` starts and what `distrain
chaos` puts faults into. Ray takes 127.0.0.1 for the machine's outward address, and a node with that
listens on every interface. Its client does the same, and shows a token to no cluster whose address
was named.
"""

import importlib
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

HOST: Final = "127.0.0.1"
CONNECT_TIMEOUT_S: Final = 3.0
# Named after the systems where it is Ray's default; it has processes take 127.0.0.1 for this host.
LOOPBACK_VARIABLE: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def is_loopback(host: str) -> bool:
    """Return whether a host is reached from itself alone; its name is not looked up.

    Args:
        host: a name, or an address without brackets.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
        return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)
    except ValueError:
        return False


@contextmanager
def begun_on_loopback() -> Iterator[None]:
    """Let a node of Ray that is started in a `with` block, and is given HOST, really have it.

    Its servers then listen on that address alone. Ray is imported before: `ray start` itself
    refuses several nodes where the variable stands, which all that the node starts, its workers and
    the drivers of jobs among them, has to read.
    """
    services: Any = importlib.import_module("ray._private.services")
    resolve, before = services.resolve_ip_for_localhost, os.environ.get(LOOPBACK_VARIABLE)
    services.resolve_ip_for_localhost = lambda host: host
    os.environ[LOOPBACK_VARIABLE] = "0"
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = resolve
        del os.environ[LOOPBACK_VARIABLE]
        if before is not None:
            os.environ[LOOPBACK_VARIABLE] = before


@contextmanager
def kept_on_loopback(address: str) -> Iterator[None]:
    """Let Ray's client connect to where nothing but loopback leads; else nothing is done.

    There it shows this user's token, as it does to a local cluster that it finds by itself, unless
    RAY_AUTH_MODE says something; Ray then keeps that on for the rest of the process.

    Args:
        address: HOST:PORT or `auto`; something answers there.
    """
    host, _, port = address.rpartition(":")
    services: Any = importlib.import_module("ray._private.services")
    resolve = services.resolve_ip_for_localhost
    if not host or resolve(host) == host or _answers(resolve(host), int(port)):
        yield
        return
    setup: Any = importlib.import_module("ray._private.authentication.authentication_token_setup")
    setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    services.resolve_ip_for_localhost = lambda host: host
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = resolve


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True

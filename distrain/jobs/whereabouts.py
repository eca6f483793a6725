"""Whether a cluster is this very machine.

A loopback address alone says nothing: it may be the near end of a tunnel.
"""

import socket
import time
import urllib.parse
from typing import Final

from distrain.jobs.dashboard import Dashboard

_PATIENCE_S: Final = 5.0
_LOOK_S: Final = 0.3


def is_this_machine(dashboard: Dashboard) -> bool:
    """Return whether all of a cluster's nodes are this machine; not where that cannot be told.

    Raises:
        ClusterError: the dashboard does not answer any more.
    """
    host = str(urllib.parse.urlsplit(dashboard.url).hostname)
    return _is_own(host) and set(_host_names(dashboard)) == {socket.gethostname()}


def _host_names(dashboard: Dashboard) -> list[str]:
    """Return the names of the hosts; a cluster that began just now does not know them yet."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        answer = dashboard.json("/nodes?view=hostNameList") or {}
        names = [str(name) for name in answer.get("data", {}).get("hostNameList", [])]
        if names or not answer or time.monotonic() > deadline:
            return names
        time.sleep(_LOOK_S)


def _is_own(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_can_bind(family, address) for family, _, _, _, address in found)


def _can_bind(family: int, address: tuple[object, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True

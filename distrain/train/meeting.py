"""Where the workers of a group meet: a store of rank zero's, on its node's address alone.

torch's own store listens on every interface and asks nobody who comes. On the address that Ray
reaches the node by, it is as near or as far as Ray's servers are: on this machine alone where Ray
is (`loopback.py`), on the private network of a cluster.
"""

import importlib
import socket
from datetime import timedelta
from typing import Any


def meet_where_ray_does() -> None:
    """Let torch make such stores in this process from now on, whatever asks it for a group."""
    rendezvous: Any = importlib.import_module("torch.distributed.rendezvous")
    rendezvous.TCPStore = meeting_store


def meeting_store(
    host_name: str,
    port: int,
    world_size: int,
    is_master: bool,
    timeout: timedelta,
    **more: Any,
) -> Any:
    """Return a `torch.distributed.TCPStore`: rank zero's own, or one that leads there.

    Where the address is none of this machine's, as behind a translated one, it listens everywhere.

    Args:
        host_name: rank zero's address, as Ray knows it.
        port: the store's; 0: any that is free.
        world_size: workers of the group.
        is_master: whether it is rank zero's own.
        timeout: how long an answer is waited for.
        more: of `TCPStore`'s.
    """
    dist: Any = importlib.import_module("torch.distributed")
    if is_master and (listener := _listener(host_name, port)) is not None:
        port = listener.getsockname()[1]
        more = {**more, "master_listen_fd": listener.detach()}  # torch closes it
    return dist.TCPStore(host_name, port, world_size, is_master=is_master, timeout=timeout, **more)


def _listener(host: str, port: int) -> socket.socket | None:
    """Return a socket that listens at an address; None: torch shall try, and tell why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError:
        return None

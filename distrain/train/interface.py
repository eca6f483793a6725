"""Which network the workers exchange gradients over: the one that Ray reaches their nodes by.

Left to itself, gloo takes the address that the host's own name leads to. Where that is the
loopback's, as Debian writes it into /etc/hosts, or one of another network, the workers of several
hosts do not find one another: "Gloo connectFullMesh failed ... remote=[127.0.1.1]". NCCL takes any
interface but the loopback and docker's, so a bridge that leads to no other host, too.
"""

import importlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

GLOO_INTERFACE: Final = "GLOO_SOCKET_IFNAME"
NCCL_INTERFACE: Final = "NCCL_SOCKET_IFNAME"
_LOOPBACK: Final = ("127.0.0.1", "::1")


def exchange_where_ray_does() -> None:
    """Let gloo and NCCL use the interface that has this node's address in Ray.

    Must be called in a process of Ray's, before a process group is made. `GLOO_SOCKET_IFNAME` and
    `NCCL_SOCKET_IFNAME` stay where they are set, as by `cluster.env`. Where the address is the
    loopback's, the workers are of one host, and NCCL is left to itself.

    Source: NCCL's documentation, environment variables: `=` in front of a name, which would
    otherwise be taken for a prefix, stands for that interface alone.
    """
    util: Any = importlib.import_module("ray.util")
    psutil: Any = importlib.import_module("psutil")  # Ray's own copy, there once Ray is imported
    addresses = {
        name: [one.address for one in found] for name, found in psutil.net_if_addrs().items()
    }
    name = interface_of(util.get_node_ip_address(), addresses)
    if name is None:
        return
    os.environ.setdefault(GLOO_INTERFACE, name)
    if not set(_LOOPBACK) & set(addresses[name]):
        os.environ.setdefault(NCCL_INTERFACE, f"={name}")


def interface_of(address: str, addresses: Mapping[str, Iterable[str]]) -> str | None:
    """Return the interface that has an address; None: none has, as behind a translated one.

    Args:
        address: of IP, version 4 or 6.
        addresses: those of each interface; of version 6 with `%` and the interface's name, or not.
    """
    for name, own in addresses.items():
        if address in {text.partition("%")[0] for text in own}:
            return name
    return None

"""Which network the workers exchange gradients over: the one that Ray reaches their nodes by.

Left to itself, gloo takes the address that the host's own name leads to. Where that is the
loopback's, as Debian writes it into /etc/hosts, or one of another network, the workers of several
hosts do not find one another: "Gloo connectFullMesh failed ... remote=[127.0.1.1]".
"""

import importlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

GLOO_INTERFACE: Final = "GLOO_SOCKET_IFNAME"


def exchange_where_ray_does() -> None:
    """Let gloo use the interface that has this node's address in Ray.

    Must be called in a process of Ray's, before a process group is made. `GLOO_SOCKET_IFNAME`
    stays where it is set, as by `cluster.env`.
    """
    util: Any = importlib.import_module("ray.util")
    psutil: Any = importlib.import_module("psutil")  # Ray's own copy, there once Ray is imported
    addresses = {
        name: [one.address for one in found] for name, found in psutil.net_if_addrs().items()
    }
    name = interface_of(util.get_node_ip_address(), addresses)
    if name is not None:
        os.environ.setdefault(GLOO_INTERFACE, name)


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

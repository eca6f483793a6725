"""Which hosts are the own machine by their name or address alone."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether a host is reached from itself alone; its name is not looked up.

    Args:
        host: a name, or an address without brackets.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""Which addresses processes listen on, as the kernel tells it."""

import socket
import struct
from collections.abc import Iterable
from pathlib import Path

LISTENS = "0A"


def listening(processes: Iterable[int]) -> set[tuple[str, int]]:
    """Return the TCP addresses and ports that processes listen on."""
    inodes = {inode for process in processes for inode in _sockets(process)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTENS and inode in inodes:
                address, port = local.split(":")
                found.add((_address(address), int(port, 16)))
    return found


def _sockets(process: int) -> set[str]:
    found = set()
    try:
        links = [link.readlink() for link in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return set()  # it has just ended
    for link in links:
        if str(link).startswith("socket:["):
            found.add(str(link)[len("socket:[") : -1])
    return found


def _address(text: str) -> str:
    # Words of four bytes, each in the machine's own order.
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    raw = b"".join(struct.pack("=I", word) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)

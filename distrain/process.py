"""Which process it is, on which host, for which user, and whether it still lives.

A process number alone is not enough: it is given again to another process, after a restart of the
machine at the latest. It means nothing in another container either, though the boot id is the same
there, hence the namespace. A dead process that nobody has waited for still stands in `/proc` as a
zombie, and counts as dead.
"""

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that can be told from every other, also later and from another host.

    Attributes:
        host: its host's name.
        pid: its number.
        start_time: when it began, in clock ticks since boot; None: the system does not tell.
        boot_id: of the running system; None: the system does not tell.
        pid_namespace: in which `pid` has its meaning; None: the system does not tell.
    """

    host: str
    pid: int
    start_time: int | None
    boot_id: str | None
    pid_namespace: str | None = None

    @classmethod
    def current(cls) -> Self:
        """Return the process that asks."""
        return cls.here(os.getpid())

    @classmethod
    def here(cls, pid: int) -> Self:
        """Return the process of a number on this host."""
        return cls(
            host=socket.gethostname(),
            pid=pid,
            start_time=start_time_of(pid),
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
        )

    @property
    def is_on_this_host(self) -> bool:
        """Return whether its clock is this process's clock."""
        return self.host == socket.gethostname()

    @property
    def is_dead(self) -> bool:
        """Return whether it is known to be gone; False where that cannot be told."""
        return self.is_in_sight and start_time_of(self.pid) != self.start_time

    @property
    def is_in_sight(self) -> bool:
        """Return whether this process can tell if it lives."""
        if self.start_time is None or not self.is_on_this_host:
            return False
        is_same_system = (self.boot_id, self.pid_namespace) == (_boot_id(), _pid_namespace())
        return is_same_system and not _is_hidden(self.pid)


def user_name() -> str:
    """Return the name of the user whose process this is, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run under a user id that has no name.
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def start_time_of(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None where it is gone or unknown."""
    stat = _stat(pid)
    return None if stat is None else stat.start_time


@dataclass(frozen=True)
class _Stat:
    """What `/proc` tells of a process that lives."""

    parent: int
    session: int
    start_time: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold spaces and brackets.
    state, *rest = re.sub(r"^.*\) ", "", text, flags=re.DOTALL).split()
    if state in "ZX":
        return None
    return _Stat(parent=int(rest[0]), session=int(rest[2]), start_time=int(rest[18]))


def family_of(pid: int) -> dict[int, int]:
    """Return who descends from a process or is of its session, itself among them: its start times.

    Args:
        pid: the process's number, which is its session's too, if it leads one. It may be dead, as
            long as its number was not given anew: who keeps it keeps its start time, to compare.
    """
    found = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    living = {number: stat for number, stat in found.items() if stat is not None}
    family = {number for number, stat in living.items() if pid in (number, stat.session)}
    while more := {number for number, stat in living.items() if stat.parent in family} - family:
        family |= more
    return {number: living[number].start_time for number in family}


def _is_hidden(pid: int) -> bool:
    """Return whether a process lives that `/proc` does not show: another user's, with hidepid."""
    if Path(f"/proc/{pid}").exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False  # it began just now, so it is none that was there before


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None

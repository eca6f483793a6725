"""A PostgreSQL of a test's own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final
from urllib.parse import quote

PASSWORD = "a pass/word@home"
_USER_AT = f"postgresql://ann:{quote(PASSWORD, safe='')}@"
# initdb and postgres refuse to be run by root.
USER = "postgres" if os.geteuid() == 0 else None


@final
@dataclass(frozen=True)
class PostgreSQL:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        folder: of its socket, by which other network namespaces reach it.
    """

    port: str
    folder: Path

    @property
    def address(self) -> str:
        """Return HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """Return the URI of its database."""
        return f"{_USER_AT}{self.address}/postgres"

    @property
    def socket_uri(self) -> str:
        """Return the URI of its database, by way of the socket."""
        return f"{_USER_AT}/postgres?host={self.folder}&port={self.port}"


def find_programs() -> Path | None:
    """Return the folder with PostgreSQL's server, None where none is installed."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "postgres").exists()), None)


@contextmanager
def postgresql(programs: Path) -> Iterator[PostgreSQL]:
    """Give a fresh server with the user `ann`, who has PASSWORD.

    Args:
        programs: as `find_programs` returns it.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # Not below pytest's folder, which another user cannot enter.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        folder, password = Path(name), Path(name) / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        if USER is not None:
            shutil.chown(folder, USER)
        data = folder / "data"
        how = ["-U", "ann", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"]
        subprocess.run(
            [programs / "initdb", "-D", data, *how],
            user=USER,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", port, *settings],
            user=USER,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not _is_ready(data):
                assert server.poll() is None
                time.sleep(0.05)
            yield PostgreSQL(port, folder)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def _is_ready(data: Path) -> bool:
    """Return whether a server says in the last line of its process file that it is."""
    path = data / "postmaster.pid"
    return path.exists() and path.read_text(encoding="utf-8").rstrip().endswith("ready")

"""The MLflow UI of a storage folder, on this machine only."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO

from distrain.errors import ConfigError, DistrainError, TrackingError

START_TIMEOUT_S = 90.0
SERVER_ENVIRONMENT = {
    # The job runner takes 15 processes and 3 GiB, and nothing here needs it.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def server_words(tracking_uri: str, port: int) -> list[str]:
    """Return the command line of an MLflow server on 127.0.0.1, with one worker.

    Args:
        tracking_uri: URI of the database that it keeps its records in.
        port: TCP port.
    """
    words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri]
    return [*words, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def serve_ui(tracking_uri: str, *, port: int, announce: Callable[[str], None]) -> None:
    """Serve the UI on 127.0.0.1 until it is interrupted, which is its ordinary end.

    Args:
        tracking_uri: an absolute SQLite (or other database) URI; nothing else may own it in writing
            for long, several readers are fine.
        port: TCP port on the loopback address.
        announce: called once with the address to open, when the server answers.

    Raises:
        ConfigError: the port is taken.
        TrackingError: the server did not answer, or ended by itself.
        KeyboardInterrupt: it was interrupted before it answered.
    """
    check_port(port)
    with tempfile.TemporaryFile() as log:
        server = _start(tracking_uri, port, log)
        try:
            _wait_until_it_answers(server, port, log)
            with contextlib.suppress(KeyboardInterrupt):
                announce(f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning")
                server.wait()
                raise _ended(server, port, log)
        finally:
            _stop(server)


def check_port(port: int) -> None:
    """Return where a TCP port of 127.0.0.1 is free.

    Raises:
        ConfigError: it is taken, or may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise _port_taken(port, str(error)) from error


def _port_taken(port: int, reason: str) -> ConfigError:
    return ConfigError(
        f"port {port} cannot be used ({reason})",
        where="--port",
        expected="a free TCP port",
        mend=f"Try --port {port + 1 if port < 65535 else 5001}",
    )


def _start(tracking_uri: str, port: int, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C reaches us alone, and we end the server and its workers.
    return subprocess.Popen(
        server_words(tracking_uri, port),
        env=os.environ | SERVER_ENVIRONMENT,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _wait_until_it_answers(server: "subprocess.Popen[bytes]", port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise _ended(server, port, log)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise TrackingError(
        f"the MLflow server does not answer within {START_TIMEOUT_S:.0f} s ({_tail(log)})",
        where="distrain ui",
        expected="a server that answers on 127.0.0.1",
        mend="Try again when the machine is less busy",
    )


def _ended(server: "subprocess.Popen[bytes]", port: int, log: IO[bytes]) -> DistrainError:
    """Return the error that tells why the server ended by itself."""
    tail = _tail(log)
    if "address already in use" in tail.lower():
        return _port_taken(port, tail)
    return TrackingError(
        f"the MLflow server ended with exit status {server.returncode} ({tail})",
        where="distrain ui",
        expected="a server that goes on until it is interrupted",
        mend="Mend what it says there, then start it again",
    )


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace").strip()[-500:] or "it said nothing"


def _stop(server: "subprocess.Popen[bytes]") -> None:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

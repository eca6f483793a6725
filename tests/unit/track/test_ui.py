import socket
import subprocess
import sys
import urllib.request
from typing import IO

import pytest

from distrain.errors import ConfigError, TrackingError
from distrain.track import ui

DATABASE = "sqlite:////nowhere/mlflow.db"
# Answers once, says something, and ends.
ENDING = """
import http.server, sys

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy)
server.handle_request()
sys.exit("out of memory")
"""
SERVING = ENDING.replace("handle_request", "serve_forever")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a script stand in for MLflow's server."""

    def start(uri: str, port: int, log: IO[bytes]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", script, str(port)]
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    monkeypatch.setattr(ui, "_start", start)


def interrupt(url: str) -> None:
    raise KeyboardInterrupt


def test_an_interruption_is_its_ordinary_end(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    serve(monkeypatch, SERVING)
    ui.serve_ui(DATABASE, port=port, announce=interrupt)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)


def test_a_server_that_ends_by_itself_is_told(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    serve(monkeypatch, ENDING)
    urls: list[str] = []
    with pytest.raises(TrackingError, match=r"(?s)exit status 1 .*out of memory") as caught:
        ui.serve_ui(DATABASE, port=port, announce=urls.append)
    assert caught.value.mend
    assert len(urls) == 1


def test_a_port_that_was_taken_meanwhile_is_told(
    monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    serve(monkeypatch, "import sys; sys.exit('[Errno 98] Address already in use')")
    with pytest.raises(ConfigError, match=rf"--port: port {port} .*Try --port {port + 1}"):
        ui.serve_ui(DATABASE, port=port, announce=interrupt)


def test_a_port_that_is_taken_is_told(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ConfigError, match=f"port {port} cannot be used"):
            ui.serve_ui(DATABASE, port=port, announce=interrupt)

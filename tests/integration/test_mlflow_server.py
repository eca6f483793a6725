"""The MLflow server of `cluster/`, as its image starts it, on a real PostgreSQL."""

import base64
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_files import CLUSTER, documents
from tests.postgresql import PASSWORD, find_programs, postgresql

pytestmark = [pytest.mark.slow, pytest.mark.long]

PROGRAMS = find_programs()
[COMPOSE] = documents(CLUSTER / "compose.yaml")
SERVICE = COMPOSE["services"]["mlflow"]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The compose file's command with places on this machine; gives the port that it listens on."""
    if PROGRAMS is None:
        pytest.skip("no PostgreSQL is installed")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        chosen = probe.getsockname()[1]
    with postgresql(PROGRAMS) as database:
        here = {
            "mlflow@postgres:5432/mlflow": f"ann@{database.address}/postgres",
            "s3://mlflow": str(folder / "artifacts"),
            "--host 0.0.0.0": "--host 127.0.0.1",
            "5000": str(chosen),
            "--workers 2": "--workers 1",
        }
        server = start(folder, here)
        try:
            wait(chosen, server, folder / "log")
            yield chosen
        finally:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself, and that is told
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def start(folder: Path, here: dict[str, str]) -> subprocess.Popen[bytes]:
    command = SERVICE["command"]
    settings = (CLUSTER / "image" / "mlflow-auth.ini").read_text(encoding="utf-8")
    for there, place in here.items():
        command, settings = command.replace(there, place), settings.replace(there, place)
    (folder / "auth.ini").write_text(settings, encoding="utf-8")
    secrets = {"postgres_password": PASSWORD, "mlflow_password": "let-me-in-please"}
    environment = dict(os.environ)
    for name, value in SERVICE["environment"].items():
        file = folder / Path(str(value)).name
        if name.endswith("_FILE"):
            file.write_text(secrets.get(file.name, "of a test"), encoding="utf-8")
        environment[name] = str(file) if name.endswith("_FILE") else str(value)
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment["MLFLOW_AUTH_CONFIG_PATH"] = str(folder / "auth.ini")
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [CLUSTER / "image" / "with-secrets", *shlex.split(command)],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 150
    while status(port, "/health") != 200:
        assert server.poll() is None, log.read_text(encoding="utf-8")[-2000:]
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")[-2000:]
        time.sleep(0.3)


def status(port: int, path: str, **headers: str) -> int | None:
    """Return the status that a request is answered with; None: nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def login(password: str) -> str:
    return "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()


SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


def test_who_has_the_password_is_let_in(port: int) -> None:
    assert status(port, SEARCH, Authorization=login("let-me-in-please")) == 200


@pytest.mark.parametrize("password", [None, "another"])
def test_others_are_not(port: int, password: str | None) -> None:
    headers = {} if password is None else {"Authorization": login(password)}

    assert status(port, SEARCH, **headers) == 401


def test_a_name_that_is_not_the_server_s_is_refused(port: int) -> None:
    password = login("let-me-in-please")

    assert status(port, SEARCH, Authorization=password, Host=f"localhost:{port}") == 200
    assert status(port, SEARCH, Authorization=password, Host=f"mlflow:{port}") == 200
    assert status(port, SEARCH, Authorization=password, Host="elsewhere.example") == 403

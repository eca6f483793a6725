"""A tracking server that asks who comes: secrets that appear nowhere, refusals, work without it."""

import base64
import functools
import hashlib
import http.server
import json
import os
import secrets
import socket
import sqlite3
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import TrackingError
from distrain.track.journal import JournalWriter
from distrain.track.reachable import check_reachable
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer, connect
from tests.bad_cases import PEOPLE, QUICK
from tests.command_line import Ended, run_in_process
from tests.mlflow_server import MlflowServer

pytestmark = [
    pytest.mark.slow,
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]

PASSWORD = secrets.token_hex(12)
NAMES = (
    "PLANTED_KEY",
    "PLANTED_SERVICE",
    "PLANTED_HUB",
    "PLANTED_SOURCE",
    "PLANTED_QUERY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_TOKEN",
    "A_REMOTE",
    "A_DIRTY_FILE",
    "A_LITERAL",
)
NET = """
import hashlib
import os

import torch

class Net(torch.nn.Module):
    def __init__(self, api_key, sha256, fails=False):
        super().__init__()
        assert hashlib.sha256(api_key.encode()).hexdigest() == sha256, "the key is not filled in"
        self.key, self.fails = api_key, fails
        self.layer = torch.nn.Linear(6, 2)

    def forward(self, x):
        # Only workers have this variable.
        at = os.environ.get("PLANTED_URL")
        if self.fails and at:
            raise ValueError(f"{self.key}, {os.environ['SERVICE_API_KEY']} are refused at {at}")
        return self.layer(x)
"""
CONFIG = """
data: {source: "SOURCE", format: csv, target: income}
model: {target: "net:Net", args: {api_key: "${PLANTED_KEY}", sha256: SHA256}}
track: {uri: "URI", every_steps: 1}
cluster:
  env:
    PLANTED_URL: "https://me:${PLANTED_SERVICE}@host/x"
    HF_TOKEN: "${PLANTED_HUB}"
    SERVICE_API_KEY: LITERAL
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MlflowServer, Path]]:
    """A server with basic authentication, and its folder."""
    pytest.importorskip("flask_wtf", reason="mlflow[auth] is not installed")
    folder = tmp_path_factory.mktemp("guarded")
    server = MlflowServer(folder, password=PASSWORD)
    server.start()
    yield server, folder
    server.stop()


@pytest.fixture
def web_folder(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A folder that is served over HTTP, and the port."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port, folder
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def ask(uri: str, path: str, body: Mapping[str, Any]) -> Any:
    """Ask the guarded server for something as its admin."""
    request = urllib.request.Request(f"{uri}/api/{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Basic {encoded(f'admin:{PASSWORD}')}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read() or b"{}")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def as_admin(tracking: TrackingServer) -> TrackingServer:
    uri = tracking.uri.replace("://", f"://admin:{PASSWORD}@")
    return TrackingServer(uri, None, "track.uri")


def git(folder: Path, *words: str) -> None:
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *named, *words], check=True, capture_output=True)


def make_checkout(folder: Path, config: str, planted: Mapping[str, str]) -> None:
    """Make a git checkout with secrets in its remote and in what is not committed."""
    folder.mkdir()
    (folder / "run.yaml").write_text("")
    (folder / "net.py").write_text(NET)
    (folder / "notes.py").write_text("PASSWORD = ''\n")
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", f"https://me:{planted['A_REMOTE']}@host/x.git")
    git(folder, "add", "notes.py", "run.yaml")
    git(folder, "commit", "--quiet", "-m", "first")
    (folder / "notes.py").write_text(f"PASSWORD = '{planted['A_DIRTY_FILE']}'\n")
    (folder / "run.yaml").write_text(config)


def places_of(secret: str, folders: list[Path]) -> list[str]:
    """Return the files below some folders that hold a secret, as it is or in a header."""
    forms = [secret.encode(), encoded(f"admin:{secret}").encode()]
    found = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if content.startswith(b"SQLite format 3"):
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                content += "\n".join(database.iterdump()).encode()
        if any(form in content for form in forms):
            found.append(str(path))
    return found


def fields_of(ended: Ended) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(ended.stdout)
    return fields


@pytest.mark.usefixtures("ray_local")
def test_planted_secrets_appear_nowhere(
    guarded: tuple[MlflowServer, Path], web_folder: tuple[int, Path], tmp_path: Path
) -> None:
    import ray

    server, server_folder = guarded
    port, served = web_folder
    planted = {name: secrets.token_hex(12) for name in NAMES} | {"PLANTED_SERVER": PASSWORD}
    (served / "people.csv").write_text(PEOPLE)
    place = "fsspec+http://me:${PLANTED_SOURCE}@127.0.0.1:PORT/people.csv?token=${PLANTED_QUERY}"
    config = (
        CONFIG.replace("SOURCE", place.replace("PORT", str(port)))
        .replace("SHA256", hashlib.sha256(planted["PLANTED_KEY"].encode()).hexdigest())
        .replace("LITERAL", planted["A_LITERAL"])
        .replace("URI", server.tracking.uri.replace("://", "://admin:${PLANTED_SERVER}@"))
    )
    folder = tmp_path / "work"
    make_checkout(folder, config, planted)

    words = ["train", "run.yaml", *QUICK[:2], "--json"]
    done = run_in_process(words, folder, planted)
    failed = run_in_process([*words, "model.args.fails=true"], folder, planted)
    asked = run_in_process(["resume", fields_of(failed)["run_dir"]], folder, planted)

    assert done.code == 0, done.stderr
    assert failed.code == 1, failed.stderr
    assert fields_of(done)["model"]["version"] == "1"
    assert fields_of(done)["tracking"] == fields_of(failed)["tracking"] == "complete"
    told = fields_of(failed)["error"]["message"]
    assert "ValueError: ***, *** are refused at https://me:***@host" in told
    assert asked.code == 2
    assert "the secret in cluster.env.SERVICE_API_KEY is not kept with the run" in asked.stderr
    stored = Path(fields_of(done)["run_dir"], "config.yaml").read_text()
    assert 'api_key: "${PLANTED_KEY}"' in stored
    (folder / "stdout.txt").write_text(done.stdout + failed.stdout)
    (folder / "stderr.txt").write_text(done.stderr + failed.stderr + asked.stderr)
    (folder / "notes.py").unlink()
    (folder / "run.yaml").unlink()
    (folder / ".git" / "config").unlink()
    (server_folder / "auth.ini").unlink()
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    looked = [folder, server_folder, session]
    assert {name: places_of(value, looked) for name, value in planted.items()} == {
        name: [] for name in planted
    }
    # What is not found must be known to be findable.
    sha256 = hashlib.sha256(planted["PLANTED_KEY"].encode()).hexdigest()
    found = places_of(sha256, looked)
    assert any(path.endswith("/mlflow.db") for path in found)
    assert any(path.endswith("/config.yaml") for path in found)


@pytest.mark.usefixtures("ray_local")
def test_a_run_without_the_server_is_shipped_by_sync(
    guarded: tuple[MlflowServer, Path], tmp_path: Path
) -> None:
    server, _ = guarded
    uri = server.tracking.uri.replace("://", "://admin:${PLANTED_SERVER}@")
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "away.yaml").write_text(
        "data: {source: people.csv, target: income}\n"
        f"track: {{uri: '{uri}', every_steps: 1, register: {{alias: champion}}}}\n"
    )
    known = {"PLANTED_SERVER": PASSWORD}
    client = connect(as_admin(server.tracking))

    trained = run_in_process(["train", "away.yaml", *QUICK, "--offline", "--json"], tmp_path, known)
    before = client.get_experiment_by_name("away")
    again = run_in_process(["resume", "--last", "--offline", "--json"], tmp_path, known)
    elsewhere = {**known, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    synced = run_in_process(["sync", "--json"], tmp_path, elsewhere)

    told = fields_of(trained)
    assert (trained.code, told["tracking"], told["model"]) == (0, "pending", None)
    assert "as --offline says" in trained.stderr
    assert before is None
    assert fields_of(again) == told
    assert synced.code == 0, synced.stderr
    (run,) = fields_of(synced)["runs"]
    assert run["outcome"] == "shipped"
    assert run["model"] == {"name": "away", "version": "1", "alias": "champion"}
    assert client.get_run(run["run_id"]).info.status == "FINISHED"
    num_points = len(client.get_metric_history(run["run_id"], "train/loss"))
    assert num_points == told["step"]


def test_who_may_only_read_is_told_at_the_first_write_and_what_can_be_is_sent_later(
    guarded: tuple[MlflowServer, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, _ = guarded
    uri = server.tracking.uri
    ask(uri, "2.0/mlflow/users/create", {"username": "ann", "password": "anns-own-word"})
    experiment = ask(uri, "2.0/mlflow/experiments/create", {"name": "guarded"})["experiment_id"]
    grant = {"username": "ann", "resource_type": "experiment", "resource_id": experiment}
    ask(uri, "3.0/mlflow/users/permissions/grant", {**grant, "permission": "READ"})
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "anns-own-word")
    with JournalWriter(tmp_path / "journal", "driver") as journal:
        journal.run({"experiment": "guarded", "key": "guarded/r", "name": "r", "tags": {}})
        journal.metrics(1, {"train/loss": 0.5, "validation/größe": 2.0})
        journal.metrics(1, {"bad[0]": 1.0, "m" * 300: 1.0})
        journal.status("FINISHED")

    check_reachable(server.tracking)
    refused = Shipper(tmp_path / "journal", server.tracking)
    refused.start()
    assert not refused.drain(20)
    refused.close()

    assert refused.is_refused
    assert "their user may not do it (HTTP 403)" in str(refused.problem)
    assert "Nothing more is sent in this command" in caplog.text
    assert "anns-own-word" not in caplog.text
    ask(uri, "3.0/mlflow/users/permissions/revoke", grant)
    ask(uri, "3.0/mlflow/users/permissions/grant", {**grant, "permission": "EDIT"})
    welcome = Shipper(tmp_path / "journal", server.tracking)
    welcome.start()
    assert welcome.drain(20)
    welcome.close()
    stored = connect(server.tracking).get_run(str(welcome.run_id))
    assert stored.data.metrics == {"train/loss": 0.5, "validation/größe": 2.0}
    assert stored.data.tags["distrain.tracking.rejected"] == "2"
    assert stored.info.status == "FINISHED"
    rejected = (tmp_path / "journal" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["what"][:12] for line in rejected] == ["metrics bad[", "metrics mmmm"]


def test_strangers_and_wrong_passwords_are_told(
    guarded: tuple[MlflowServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = guarded[0].tracking
    with pytest.raises(TrackingError, match="asks for credentials, and none are set"):
        check_reachable(tracking)

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "no-such-word")
    with pytest.raises(TrackingError, match="refuses these credentials") as caught:
        check_reachable(tracking)

    assert "MLFLOW_TRACKING_PASSWORD" in caught.value.expected
    assert "no-such-word" not in str(caught.value)


def test_a_name_that_the_server_does_not_allow_is_told_with_the_flag(
    guarded: tuple[MlflowServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = guarded[0].tracking
    resolved = socket.getaddrinfo
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, *rest, **more: resolved(
            "127.0.0.1" if host == "mlflow.example" else host, *rest, **more
        ),
    )
    uri = as_admin(tracking).uri.replace("127.0.0.1", "mlflow.example")

    with pytest.raises(TrackingError, match=r'--allowed-hosts "mlflow\.example:\*"'):
        check_reachable(TrackingServer(uri, None, "track.uri"))


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        monkeypatch.delenv(name)

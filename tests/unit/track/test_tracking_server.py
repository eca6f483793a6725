import http.server
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from distrain.errors import ConfigError, DistrainError, TrackingError
from distrain.track import tracking_server
from distrain.track.reachable import check_reachable
from distrain.track.tracking_server import (
    TrackingServer,
    as_default,
    connect,
    load_mlflow,
    resolve_tracking_uri,
    tracking_uri_of,
)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_default_is_sqlite_in_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    server = resolve_tracking_uri(None, Path("runs"))
    assert server.uri == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert server.artifact_root == tmp_path / "runs" / "mlartifacts"
    assert server.database == tmp_path / "runs" / "mlflow.db"
    assert not server.is_remote


def test_the_environment_comes_before_the_default_and_after_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://env:5000/")
    assert resolve_tracking_uri(None, tmp_path).uri == "http://env:5000"
    assert resolve_tracking_uri(None, tmp_path).origin == "MLFLOW_TRACKING_URI"
    assert resolve_tracking_uri("http://given:5000", tmp_path).uri == "http://given:5000"


def test_a_relative_sqlite_path_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_tracking_uri("sqlite:///my.db", tmp_path).uri == f"sqlite:///{tmp_path}/my.db"
    assert resolve_tracking_uri("sqlite:////a/b.db", tmp_path).uri == "sqlite:////a/b.db"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:///tmp/mlruns", "folder of files any more.*migrate-filestore"),
        ("./mlruns", "folder of files any more"),
        ("mlruns", "folder of files any more"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///m.db?timeout=5", "file alone.*Write sqlite:///m.db"),
        ("sqlite+pysqlite:////a/m.db", "file alone.*Write sqlite:////a/m.db"),
        ("tracking.example:5000", "no address.*Perhaps http://tracking.example:5000 was meant"),
        ("ftp://host/x", "no address"),
        ("http://", "no address"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, uri: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_tracking_uri(uri, tmp_path)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://ann:secret@db:5432/mlflow", "postgresql://ann:***@db:5432/mlflow"),
        ("http://ann:p@ss@host:5000", "http://ann:***@host:5000"),
        ("http://:secret@host", "http://:***@host"),
        ("mysql://ann:a/b@db/mlflow", "mysql://ann:***@db/mlflow"),
        ("http://host:5000/teams/@a", "http://host:5000/teams/@a"),
    ],
)
def test_passwords_are_not_shown(uri: str, shown: str) -> None:
    assert TrackingServer(uri, None, "track.uri").shown == shown


def test_the_log_of_an_earlier_run_is_closed(tmp_path: Path) -> None:
    load_mlflow(tmp_path / "first.txt")
    logging.getLogger("mlflow").warning("one")
    (first,) = logging.getLogger("mlflow").handlers
    load_mlflow(tmp_path / "second.txt")
    assert isinstance(first, logging.FileHandler)
    assert first.stream is None
    logging.getLogger("alembic").warning("two")
    assert (tmp_path / "second.txt").read_text().endswith("two\n")
    load_mlflow(tmp_path / "third.txt")


def test_a_storage_without_records_has_no_ui(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        tracking_uri_of(tmp_path)
    (tmp_path / "mlflow.db").touch()
    assert tracking_uri_of(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str | None]]]:
    """Serve one answer to everything; gives the address and the Authorization headers seen."""
    seen: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b"", "refuses these credentials.*MLFLOW_TRACKING_USERNAME"),
        (403, b"Permission denied", "their user may not do it.*of a user who may read and write"),
        (403, b"Invalid Host header - possible DNS rebinding", 'host name.*--allowed-hosts "127'),
        (404, b"", "no MLflow server"),
        (200, b"<html>hello</html>", "no MLflow server"),
        (500, b"", r"in trouble \(HTTP 500\)"),
    ],
)
def test_a_server_that_refuses_is_told_apart(status: int, body: bytes, message: str) -> None:
    with (
        answering(status, body) as (url, _),
        pytest.raises(TrackingError, match=message) as caught,
    ):
        check_reachable(TrackingServer(url.replace("://", "://ann:pass4word@"), None, "track.uri"))
    assert caught.value.exit_code == 4
    assert "pass4word" not in str(caught.value)


def test_credentials_that_are_missing_are_asked_for() -> None:
    with (
        answering(401, b"") as (url, _),
        pytest.raises(TrackingError, match="asks for credentials, and none are set"),
    ):
        check_reachable(TrackingServer(url, None, "track.uri"))


def test_a_server_that_answers_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    with answering(200, b'{"experiments": []}') as (url, seen):
        check_reachable(TrackingServer(url, None, "track.uri"))
    assert seen == ["Basic YW5uOnNlY3JldA=="]


def test_credentials_may_stand_in_mlflows_own_file(tmp_path: Path) -> None:
    (tmp_path / "home" / ".mlflow").mkdir(parents=True)
    (tmp_path / "home" / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = secret\n"
    )
    with answering(200, b"{}") as (url, seen):
        check_reachable(TrackingServer(url, None, "track.uri"))
    assert seen == ["Basic YW5uOnNlY3JldA=="]


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql"])
def test_a_silent_server_is_told(scheme: str) -> None:
    server = TrackingServer(f"{scheme}://127.0.0.1:9", None, "track.uri")
    with pytest.raises(TrackingError, match=r"track.uri = .*: no tracking server answers"):
        check_reachable(server, timeout_s=1)


def test_sqlite_needs_no_answer(tmp_path: Path) -> None:
    check_reachable(resolve_tracking_uri(None, tmp_path))


def test_every_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DistrainError) as caught:
        resolve_tracking_uri("nonsense://x", tmp_path)
    assert caught.value.mend
    assert caught.value.expected


def test_a_database_whose_driver_is_missing_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def client(_server: TrackingServer) -> None:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr("distrain.track.tracking_server._client", client)
    with pytest.raises(TrackingError, match=r"for postgresql:// that is psycopg\[binary\]"):
        connect(TrackingServer("postgresql://ann:secret@db/mlflow", None, "track.uri"))


def test_two_threads_that_need_a_default_store_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    default: list[str | None] = [None]
    mlflow = SimpleNamespace(
        is_tracking_uri_set=lambda: default[0] is not None,
        get_tracking_uri=lambda: default[0],
        set_tracking_uri=lambda uri: default.__setitem__(0, uri),
    )
    monkeypatch.setattr(tracking_server, "load_mlflow", lambda: mlflow)
    is_inside, may_leave = threading.Event(), threading.Event()

    def ship(uri: str) -> None:
        with as_default(TrackingServer(uri, None, "track.uri")):
            is_inside.set()
            may_leave.wait(5)
            seen.append(default[0] == uri)

    seen: list[bool] = []
    first, second = (threading.Thread(target=ship, args=[uri]) for uri in ("http://a", "http://b"))
    first.start()
    assert is_inside.wait(5)
    second.start()
    time.sleep(0.05)
    may_leave.set()
    for thread in (first, second):
        thread.join(5)

    assert seen == [True, True]
    assert default == [None]

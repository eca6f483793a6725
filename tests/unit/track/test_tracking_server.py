import http.server
import logging
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from distrain.errors import ConfigError, DistrainError, TrackingError
from distrain.redaction import redacted, traceback_text
from distrain.track import tracking_server
from distrain.track.credentials import stored_credentials
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
    # A password that is read is masked from then on, in the tests that follow too.
    monkeypatch.setattr("distrain.redaction._hidden", set())


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
        ("http://0f3a9c4e1b2d7a6c@host", "http://***@host"),
        ("mysql://ann:a/b@db/mlflow", "mysql://ann:***@db/mlflow"),
        ("http://host:5000/teams/@a", "http://host:5000/teams/@a"),
        (
            "mssql+pyodbc:///?odbc_connect=SERVER%3Ddb%3BUID%3Dme%3BPWD%3Dhunter2secret",
            "mssql+pyodbc:///?odbc_connect=SERVER%3Ddb%3BUID%3Dme%3BPWD%3D***",
        ),
        (
            "mssql+pyodbc:///?odbc_connect=SERVER=db;UID=me;PWD={hun;ter22}",
            "mssql+pyodbc:///?odbc_connect=SERVER=db;UID=me;PWD=***",
        ),
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


def test_an_object_store_has_no_ui() -> None:
    with pytest.raises(ConfigError, match="an object store holds no database") as told:
        tracking_uri_of(Path("s3://team/runs"))

    assert told.value.where == "--storage s3://team/runs"


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


def write_credentials(tmp_path: Path, text: str) -> None:
    (tmp_path / "home" / ".mlflow").mkdir(parents=True)
    path = tmp_path / "home" / ".mlflow" / "credentials"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def test_credentials_may_stand_in_mlflows_own_file(tmp_path: Path) -> None:
    write_credentials(
        tmp_path, "[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = secret\n"
    )
    with answering(200, b"{}") as (url, seen):
        check_reachable(TrackingServer(url, None, "track.uri"))
    assert seen == ["Basic YW5uOnNlY3JldA=="]


def test_a_password_in_mlflows_own_file_is_masked_in_messages(tmp_path: Path) -> None:
    write_credentials(tmp_path, "[mlflow]\nmlflow_tracking_password = planted%%1\n")

    assert stored_credentials() == (None, "planted%1")

    assert redacted("refused planted%1") == "refused ***"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[mlflow]\nmlflow_tracking_password=a%b9planted\n",
            "a % stands alone in it.*Write % as %%",
        ),
        (
            "[mlflow]\nmlflow_tracking_password=%(planted)s\n",
            "a % stands alone in it.*Write % as %%",
        ),
        ("mlflow_tracking_password=planted\n", r"does not begin with \[mlflow\]"),
        ("[mlflow]\nplanted\n", "a line of it has no '='"),
        ("[mlflow]\nplanted=1\nplanted=2\n", "a key stands there twice"),
        ("[mlflow]\n[mlflow]\n", "a section stands there twice"),
        ("[mlflow]\nmlflow_tracking_password=planted\udcff\n", "not written in UTF-8"),
    ],
)
def test_a_faulty_file_of_credentials_is_told_without_what_stands_in_it(
    tmp_path: Path, text: str, told: str
) -> None:
    write_credentials(tmp_path, text)
    server = TrackingServer("http://127.0.0.1:9", None, "track.uri")

    for ask in (check_reachable, connect):
        with pytest.raises(TrackingError, match=rf"\.mlflow/credentials: .*{told}") as caught:
            ask(server)
        assert "planted" not in traceback_text(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql"])
def test_a_silent_server_is_told(scheme: str) -> None:
    server = TrackingServer(f"{scheme}://127.0.0.1:9", None, "track.uri")
    with pytest.raises(TrackingError, match=r"track.uri = .*: no tracking server answers"):
        check_reachable(server, timeout_s=1)


@contextmanager
def saying(words: bytes) -> Iterator[str]:
    """Say the same to whoever connects, whatever was asked, and hang up; gives the address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(words)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


OTHER, SILENT = "something answers there, but it is no MLflow server", "no tracking server answers"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", OTHER),
        (b"", SILENT),
        (bytes(range(256)) * 9, OTHER),
        (b"x" * 100_000, OTHER),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", OTHER),
        (b"HTTP/9.9 200 OK\r\n\r\n", OTHER),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", SILENT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "answer breaks off"),
        (
            b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            r"in trouble \(HTTP 500\)",
        ),
    ],
    ids=[
        "ssh",
        "closes",
        "bytes",
        "long",
        "heads",
        "version",
        "chunk",
        "cut",
        "short",
        "empty",
        "fails",
    ],
)
def test_what_speaks_no_http_or_breaks_off_is_told(words: bytes, message: str) -> None:
    with saying(words) as url, pytest.raises(TrackingError, match=message) as caught:
        check_reachable(TrackingServer(url, None, "track.uri"), timeout_s=2)
    assert caught.value.exit_code == 4
    assert caught.value.where == f"track.uri = {url}"
    assert caught.value.expected
    assert caught.value.mend


@pytest.mark.parametrize("address", ["http://127.0.0.1:x", "postgresql://127.0.0.1:x/db"])
def test_a_port_that_is_no_number_is_told(address: str) -> None:
    with pytest.raises(TrackingError, match=SILENT):
        check_reachable(TrackingServer(address, None, "track.uri"), timeout_s=2)


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

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from distrain.errors import TrackingError
from distrain.track import database
from distrain.track.database import check_database, initialisation_lock
from distrain.track.reachable import check_reachable
from distrain.track.tracking_server import resolve_tracking_uri, tracking_uri_of

FIRST_REVISION = "451aebb31d03"


def at_revision(path: Path, revision: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    return path


def damaged(path: Path) -> Path:
    at_revision(path, "x")
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    return path


def with_content(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: with_content(path, b"nothing of the kind" * 99), "it is no SQLite database"),
        (damaged, "malformed"),
        (lambda path: at_revision(path, "0000000000"), "0000000000, which this MLflow does not"),
        (lambda path: at_revision(path, FIRST_REVISION), "older .* `mlflow db upgrade sqlite:///"),
        (lambda path: path.mkdir(), "it is no file"),
    ],
    ids=["garbage", "damaged", "newer", "older", "folder"],
)
def test_what_mlflow_cannot_use_is_told(tmp_path: Path, make: object, told: str) -> None:
    make(tmp_path / "mlflow.db")  # type: ignore[operator]
    found = contents(tmp_path)

    with pytest.raises(TrackingError, match=told) as caught:
        check_reachable(resolve_tracking_uri(None, tmp_path))

    assert caught.value.where == f"storage = {tmp_path}/mlflow.db"
    assert caught.value.expected
    assert caught.value.exit_code == 4
    assert contents(tmp_path) == found


def test_the_ui_tells_it_too(tmp_path: Path) -> None:
    at_revision(tmp_path / "mlflow.db", "0000000000")
    with pytest.raises(TrackingError, match=r"^--storage .*does not know"):
        tracking_uri_of(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path,
        Path.touch,
        lambda path: at_revision(path, str(database._revisions()[1])),
    ],
    ids=["none", "empty", "newest"],
)
def test_what_mlflow_can_use_or_make_is_good(tmp_path: Path, make: object) -> None:
    path = tmp_path / "odd #name?.db"
    make(path)  # type: ignore[operator]
    found = sorted(tmp_path.iterdir())
    check_database(path, where="storage")
    assert sorted(tmp_path.iterdir()) == found


def test_a_database_that_is_being_made_or_written_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    path = at_revision(tmp_path / "mlflow.db", FIRST_REVISION)
    with initialisation_lock(path):
        check_database(path, where="storage")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        check_database(path, where="storage")


def test_an_mlflow_that_keeps_its_revisions_elsewhere_is_asked_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MIGRATIONS", Path("elsewhere"))
    check_database(at_revision(tmp_path / "mlflow.db", "0000000000"), where="storage")

"""Whether a SQLite file can be MLflow's database, told in milliseconds, before MLflow is asked.

MLflow itself takes seconds to import, and tries for a minute and a half to open what it cannot use.
A database of another schema revision is refused, even where MLflow would change it without asking:
other versions that record there could no longer.
"""

import importlib.util
import os
import re
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from distrain.errors import TrackingError
from distrain.run_folder import why_unwritable

INITIALISE_TIMEOUT_S = 120.0
BUSY_TIMEOUT_S = 1.0

_MIGRATIONS: Final = Path("store", "db_migrations", "versions")
_REVISION: Final = re.compile(r"^(down_)?revision\b[^=\n]*=(.*)$", re.MULTILINE)
_MOVE: Final = "Move away what is there, or name another by track.uri"


def check_database(database: Path, *, where: str) -> None:
    """Return where MLflow can use a SQLite file, or could make it; makes nothing.

    Args:
        database: absolute.
        where: what named it, for messages.

    Raises:
        TrackingError: it is none, is damaged, is of another MLflow version, or cannot be written.
    """
    reason = _why_unwritable(database)
    if reason is not None:
        raise _unusable(reason, where, _MOVE)
    if database.exists():
        try:
            found = _settled_revision(database)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(_words(error), where, _MOVE) from error
        _check_revision(found, where, database)


def initialisation_lock(database: Path) -> FileLock:
    """Return the lock to hold while MLflow makes or migrates a database, which it does unlocked."""
    return FileLock(f"{database}.lock", timeout=INITIALISE_TIMEOUT_S)


def _why_unwritable(database: Path) -> str | None:
    if not database.exists():
        return why_unwritable(database.parent)
    if not database.is_file():
        return "it is no file"
    if not os.access(database, os.R_OK | os.W_OK):
        return "it cannot be written"
    # SQLite's own journal, and the lock, lie beside it.
    return why_unwritable(database.parent)


def _settled_revision(database: Path) -> str | None:
    """Return the revision that a database is at; None: it is fresh, or in use just now."""
    lock = initialisation_lock(database)
    # While another run makes the database, its revision is one of those on the way.
    is_locked = Path(lock.lock_file).exists()
    try:
        with lock.acquire(timeout=BUSY_TIMEOUT_S) if is_locked else nullcontext():
            return _read_revision(database)
    except Timeout:
        return None
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return None
        raise


def _words(error: Exception) -> str:
    return "it is no SQLite database" if _code(error) == sqlite3.SQLITE_NOTADB else str(error)


def _code(error: Exception) -> int:
    # The lowest byte of SQLite's extended codes is the plain one.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _read_revision(database: Path) -> str | None:
    # Not read-only, because what a crash has left half-done is rolled back when it is opened.
    address = f"{database.as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
        tables = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
        if connection.execute(tables).fetchone() is None:
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else None


def _check_revision(found: str | None, where: str, database: Path) -> None:
    known, newest = _revisions()
    if found is None or newest is None or found == newest:
        return
    if found in known:
        raise _unusable(
            f"its schema is at revision {found}, which is older than this MLflow's",
            where,
            f"Make a copy of it, then run `mlflow db upgrade sqlite:///{database}`",
        )
    raise _unusable(
        f"its schema is at revision {found}, which this MLflow does not know",
        where,
        "Is it of a newer MLflow? Install that version here, or name another by track.uri",
    )


def _revisions() -> tuple[set[str], str | None]:
    """Return the schema revisions that the installed MLflow knows, and the newest of them.

    Read from its migration scripts, each of which names itself and the one before. None: they are
    not where they were, and MLflow has to find out itself.
    """
    spec = importlib.util.find_spec("mlflow")
    folders = [Path(f) for f in spec.submodule_search_locations or ()] if spec else []
    known: set[str] = set()
    replaced: set[str] = set()
    for folder in folders:
        for script in (folder / _MIGRATIONS).glob("*.py"):
            for is_former, value in _REVISION.findall(script.read_text(encoding="utf-8")):
                (replaced if is_former else known).update(re.findall(r"""["'](\w+)["']""", value))
    newest = known - replaced
    return known, newest.pop() if len(newest) == 1 else None


def _unusable(reason: str, where: str, mend: str) -> TrackingError:
    return TrackingError(
        f"the tracking database cannot be used: {reason}",
        where=where,
        expected="an MLflow database of this version, or a place where one can be made",
        mend=mend,
    )

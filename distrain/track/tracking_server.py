"""Where runs are recorded: which MLflow tracking store, and a quiet mlflow to speak with it.

Quick to import: `mlflow` is imported by `load_mlflow` alone, because that takes seconds:
call it from a thread that runs while other things start.
"""

import logging
import os
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, final

from distrain.errors import ConfigError, TrackingError, first_line
from distrain.object_store.place import remote_text
from distrain.redaction import MASK, RedactingFormatter, without_password
from distrain.run_folder import ARTIFACTS, DATABASE
from distrain.track.credentials import stored_credentials
from distrain.track.database import check_database, initialisation_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

REQUEST_TIMEOUT_S = 20
TIMEOUT_VARIABLE = "MLFLOW_HTTP_REQUEST_TIMEOUT"
STORAGE = "storage"

DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_FORMS = (
    "http(s)://HOST:PORT of an MLflow server, sqlite:///PATH, or postgresql://, mysql://, mssql://"
)
# Read by mlflow at import or at each call. Retries are off because a repeated create makes a second
# run: whoever calls here repeats what is safe to repeat, and searches by key before creating.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    TIMEOUT_VARIABLE: str(REQUEST_TIMEOUT_S),
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
}
_QUIET_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_DEFAULT_STORE = threading.Lock()
_NOISY_LOGGERS = ("mlflow", "alembic", "sqlalchemy.engine", "huey", "urllib3.connectionpool")


@final
class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # A disk that takes no line shall not print a traceback for each; the run's end tells of it.
        pass


@final
@dataclass(frozen=True)
class TrackingServer:
    """A tracking store, by an address that means the same in every process.

    Attributes:
        uri: MLflow tracking URI; a SQLite path in it is absolute.
        artifact_root: folder for the artifacts of new experiments; None: the server has its own.
        origin: what named it: `track.uri`, `MLFLOW_TRACKING_URI` or `storage`.
    """

    uri: str
    artifact_root: Path | None
    origin: str

    @property
    def is_remote(self) -> bool:
        """Whether it is reached over HTTP."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def database(self) -> Path | None:
        """The SQLite file, or None where it is something else."""
        return Path(self.uri.removeprefix("sqlite:///")) if _is_sqlite(self.uri) else None

    @property
    def identity(self) -> str:
        """What a journal keeps of it: the same where the storage was moved; no password."""
        return self.origin if self.origin == STORAGE else self.shown

    @property
    def shown(self) -> str:
        """The address without a password, for messages."""
        return without_password(self.uri)


def resolve_tracking_uri(uri: str | None, storage: Path) -> TrackingServer:
    """Return the tracking store to use: the given one, MLFLOW_TRACKING_URI, or SQLite in storage.

    Call it on the driver: relative paths are made absolute from its working directory.

    Args:
        uri: `track.uri` of the configuration; None: not given.
        storage: the folder below which everything of a run is kept.

    Raises:
        ConfigError: a form that MLflow does not take, or takes no longer.
    """
    storage = storage.absolute()
    from_environment = os.environ.get("MLFLOW_TRACKING_URI") or None
    given = uri or from_environment
    if given is None:
        return storage_server(storage)
    origin = "track.uri" if uri else "MLFLOW_TRACKING_URI"
    given = given.strip().rstrip("/")
    scheme = given.partition(":")[0].partition("+")[0].lower()
    if scheme in ("http", "https") and urllib.parse.urlsplit(given).hostname:
        return TrackingServer(given, None, origin)
    if given.startswith("databricks"):
        return TrackingServer(given, None, origin)
    if scheme == "sqlite":
        return TrackingServer(_absolute_sqlite(given, origin), storage / ARTIFACTS, origin)
    if scheme in DATABASE_PORTS and "://" in given:
        return TrackingServer(given, storage / ARTIFACTS, origin)
    raise _unusable(given, origin, storage)


def server_beside_store(uri: str | None, storage: str, *, is_offline: bool) -> TrackingServer:
    """Return the tracking store of runs that an object store keeps, which holds no database.

    Args:
        uri: as for `resolve_tracking_uri`.
        storage: where runs are kept, for messages.
        is_offline: whether nothing is sent now, so that a later command may name it.

    Raises:
        ConfigError: none is named, or one that would put artifacts into a folder of this host.
    """
    if not (uri or os.environ.get("MLFLOW_TRACKING_URI")):
        if is_offline:
            return TrackingServer("", None, STORAGE)
        raise ConfigError(
            "no tracking server is named, and an object store holds no database",
            where=f"storage = {storage}",
            expected="track.uri, or MLFLOW_TRACKING_URI in the environment",
            mend="Set track.uri=http://HOST:5000, or give --offline, and name it when you resume",
        )
    server = resolve_tracking_uri(uri, Path())
    if server.is_remote or server.artifact_root is None:
        return server
    if server.database is not None:
        return replace(server, artifact_root=server.database.with_name(ARTIFACTS))
    raise ConfigError(
        f"{server.shown} is a database, and artifacts would lie in a folder of this host",
        where=server.origin,
        expected="an MLflow server, which keeps artifacts itself",
        mend="Start `mlflow server` on that database with --artifacts-destination, and name it: "
        "track.uri=http://HOST:5000",
    )


def storage_server(storage: Path) -> TrackingServer:
    """Return the SQLite tracking store of a storage folder."""
    storage = storage.absolute()
    return TrackingServer(f"sqlite:///{storage / DATABASE}", storage / ARTIFACTS, STORAGE)


def tracking_uri_of(storage: Path) -> str:
    """Return the URI of the database that the runs below a storage folder are recorded in.

    Raises:
        ConfigError: nothing is recorded there.
        TrackingError: the database is damaged, or of another MLflow version.
    """
    uri = remote_text(storage)
    if uri is not None:
        raise ConfigError(
            "an object store holds no database",
            where=f"--storage {uri}",
            expected="a storage folder with recorded runs",
            mend="Open the tracking server that its runs were recorded at: track.uri, or "
            "MLFLOW_TRACKING_URI",
        )
    database = storage.absolute() / DATABASE
    if not database.is_file():
        raise ConfigError(
            f"{database} does not exist",
            where=f"--storage {storage}",
            expected="a storage folder with recorded runs",
            mend="Name the folder that `distrain train` used. Runs that went to a server named by "
            "track.uri or MLFLOW_TRACKING_URI are seen there",
        )
    check_database(database, where=f"--storage {storage}")
    return f"sqlite:///{database}"


def has_hidden_password(shown: str) -> bool:
    """Return whether an address, as `TrackingServer.shown` gives it, lacks a password."""
    return MASK in shown


def load_mlflow(log_file: Path | None = None) -> ModuleType:
    """Import mlflow, silenced, and return it. Takes 1 to 2 s of CPU the first time.

    Side effects: environment variables of this process (client retries and telemetry off), and
    MLflow's and alembic's log lines leave the terminal.

    Args:
        log_file: file that takes their warnings from now on; None: nobody reads them.
    """
    os.environ.update(_ENVIRONMENT)
    for name, value in _QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    _silence(log_file)
    return mlflow


def connect(server: TrackingServer) -> "MlflowClient":
    """Return a client; a SQLite database that is not there yet is made, by one process at a time.

    Takes about 0.1 s on a database that is there, 1.5 s on a fresh one.

    Args:
        server: the tracking store.

    Raises:
        TrackingError: the database cannot be made, or is of another MLflow version; MLflow's file
            of credentials cannot be read.
    """
    if server.is_remote:
        stored_credentials()  # MLflow's own error would quote what stands in the file
    load_mlflow()
    try:
        if server.database is None:
            return _client(server)
        server.database.parent.mkdir(parents=True, exist_ok=True)
        # MLflow creates and migrates without a lock of its own: of 8 processes that open a fresh
        # database at once, all fail.
        with initialisation_lock(server.database):
            return _client(server)
    except Exception as error:  # raised again in words
        # MLflow lets the errors of SQLAlchemy, alembic and the drivers through.
        raise _unusable_database(server, error) from error


@contextmanager
def as_default(server: TrackingServer) -> Iterator[None]:
    """Make a store MLflow's default within the `with` block.

    MLflow's SQL registry looks for a logged model in the default store, whatever store its client
    was made for, and makes an empty `mlflow.db` in the working directory where none was set. The
    default is the process's: two threads that ship take turns.
    """
    mlflow = load_mlflow()
    with _DEFAULT_STORE:
        before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
        variable = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(server.uri)  # which sets the variable too
        try:
            yield
        finally:
            # What the variable says is not set again: it would outlive the variable.
            mlflow.set_tracking_uri(None if before == variable else before)
            if variable is not None:
                os.environ["MLFLOW_TRACKING_URI"] = variable


def _client(server: TrackingServer) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=server.uri)


def _silence(log_file: Path | None) -> None:
    new: logging.Handler | None = None
    if log_file is not None:
        new = _LogFile(log_file, encoding="utf-8", delay=True)
        new.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in _NOISY_LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        if new is not None:
            for old in logger.handlers:
                old.close()
            logger.handlers = [new]
        elif not any(isinstance(handler, logging.FileHandler) for handler in logger.handlers):
            logger.handlers = [logging.NullHandler()]
        logger.setLevel(logging.WARNING)


def _is_sqlite(uri: str) -> bool:
    return uri.startswith("sqlite:///")


def _absolute_sqlite(uri: str, origin: str) -> str:
    form, _, path = uri.partition(":///")
    if (form != "sqlite" and path) or "?" in path:
        raise ConfigError(
            "a SQLite database is named by its file alone, without a driver or options",
            where=f"{origin} = {uri}",
            expected="sqlite:///PATH of a file",
            mend=f"Write sqlite:///{path.partition('?')[0]}",
        )
    if not path or path.startswith(":memory:"):
        raise ConfigError(
            "a database in memory cannot be shared between processes",
            where=f"{origin} = {uri}",
            expected="sqlite:///PATH of a file",
            mend=f"Write for example sqlite:///{Path.cwd() / DATABASE}",
        )
    return f"sqlite:///{Path(path).expanduser().absolute()}"


def _unusable(given: str, origin: str, storage: Path) -> ConfigError:
    default = f"sqlite:///{storage / DATABASE}"
    shown = without_password(given)
    if given.startswith("file:") or ("://" not in given and re.search(r"[/\\]|^mlruns$", given)):
        return ConfigError(
            "MLflow keeps no records in a folder of files any more",
            where=f"{origin} = {shown}",
            expected=_FORMS,
            mend=f"Leave it out to use {default}; `mlflow migrate-filestore` moves old records",
        )
    guess = f"http://{given}" if re.fullmatch(r"[\w.-]+(:\d+)?", given) else default
    return ConfigError(
        "this is no address of a tracking server",
        where=f"{origin} = {shown}",
        expected=_FORMS,
        mend=f"Perhaps {guess} was meant",
    )


def _unusable_database(server: TrackingServer, error: Exception) -> TrackingError:
    return TrackingError(
        f"the tracking database cannot be used ({first_line(error)})",
        where=f"{server.origin} = {server.shown}",
        expected="a database of this MLflow version, in a place that can be written",
        mend=_database_mend(str(error), server),
    )


def _database_mend(text: str, server: TrackingServer) -> str:
    if "out-of-date database schema" in text:
        return f"Make a copy of it, then run `mlflow db upgrade {server.shown}`"
    if "Can't locate revision" in text:
        return "It is of a newer MLflow: install that version here"
    if "No module named" in text:
        # SQLAlchemy 2.1 takes psycopg for postgresql://, and no longer psycopg2.
        return (
            "Install the database's driver here; for postgresql:// that is psycopg[binary], or "
            "write postgresql+psycopg2:// where that is the one you have"
        )
    return "Check the file and its folder, or name another one by track.uri"

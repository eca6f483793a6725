"""An MLflow server of a test's own."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

from distrain.errors import TrackingError
from distrain.track.reachable import check_reachable
from distrain.track.tracking_server import TrackingServer
from distrain.track.ui import SERVER_ENVIRONMENT, server_words


@final
class MlflowServer:
    """An MLflow server that can be stopped and started again.

    Args:
        folder: where it keeps its database and artifacts.
        database: URI of the database; None: a SQLite file in the folder.
        password: of the user `admin`, for basic authentication; None: it lets everybody in.
        host: its address.
        prefix: what its command line begins with.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: str | None = None,
        password: str | None = None,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._database = database or f"sqlite:///{folder}/mlflow.db"
        self._password = password
        self._host = host
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.tracking = TrackingServer(f"http://{host}:{self._port}", None, "track.uri")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it; it answers some seconds later."""
        command = [*self._prefix, *server_words(self._database, self._port)]
        command += [
            "--host",
            self._host,
            "--artifacts-destination",
            str(self._folder / "artifacts"),
        ]
        environment = os.environ | SERVER_ENVIRONMENT
        if self._password is not None:
            command += ["--app-name", "basic-auth"]
            environment |= self._authentication(self._password)
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 150
        uri = self.tracking.uri
        if self._password is not None:
            uri = uri.replace("://", f"://admin:{self._password}@")
        while True:
            try:
                return check_reachable(replace(self.tracking, uri=uri))
            except TrackingError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _authentication(self, password: str) -> dict[str, str]:
        """Return the environment of a server that asks who comes."""
        # Without a cache, each request pays 0.2 s for the password's hash.
        lines = [
            "[mlflow]",
            "default_permission = NO_PERMISSIONS",
            f"database_uri = sqlite:///{self._folder}/auth.db",
            "admin_username = admin",
            f"admin_password = {password}",
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
            "auth_cache_ttl_seconds = 60",
        ]
        (self._folder / "auth.ini").write_text("\n".join(lines), encoding="utf-8")
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(self._folder / "auth.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a test",
        }

    def stop(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

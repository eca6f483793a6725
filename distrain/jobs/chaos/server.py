"""A private MLflow server, which can be away for a while."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from distrain.errors import TrackingError
from distrain.jobs.ray_nodes import free_ports
from distrain.jobs.sessions import end_session, start_session
from distrain.track.reachable import check_reachable
from distrain.track.tracking_server import TrackingServer
from distrain.track.ui import SERVER_ENVIRONMENT, server_words

START_TIMEOUT_S: Final = 150.0


@final
class PrivateServer:
    """An MLflow server on the loopback; as a context manager it is there, and ended afterwards.

    Args:
        folder: takes its database, its artifacts and its log.
        environment: variables of its process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        [self._port] = free_ports(1)
        self._folder = folder
        self._environment = {**environment, **SERVER_ENVIRONMENT}
        self._process: subprocess.Popen[str] | None = None
        self.tracking = TrackingServer(f"http://127.0.0.1:{self._port}", None, "track.uri")

    def __enter__(self) -> "PrivateServer":
        self.launch()
        try:
            self.wait()
        except BaseException:  # goes through; the process is ended first
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def launch(self) -> None:
        """Start it; it answers some seconds later."""
        words = server_words(f"sqlite:///{self._folder / 'mlflow.db'}", self._port)
        words += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("a") as log:
            self._process = start_session(words, self._environment, errors=log, output=log)

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            TrackingError: it does not within a while.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return check_reachable(self.tracking)
            except TrackingError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            end_session(self._process)
            self._process = None

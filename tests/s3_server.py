"""An object store of a test's own, on 127.0.0.1: moto's S3, which can be away for a while."""

import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, final

import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place

_BUSY = [("Content-Type", "application/xml"), ("Connection", "close")]


@final
class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


@final
class S3Server:
    """A server with one bucket. Call order: `start`, `close`.

    Attributes:
        requests: method and path of each request that was answered, in order.
        pause_s: how long each request waits before it is answered.
        takes_twice: whether it passes over `If-None-Match`, as some stores do.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._is_away = False
        self.pause_s = 0.0
        self.takes_twice = False
        self.bucket = f"runs-{uuid.uuid4().hex[:8]}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables by which it is found, and let in."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def place(self, prefix: str) -> Place:
        """Return a place in its bucket, which says where it is."""
        query = f"endpoint_override=127.0.0.1:{self._server.port}&scheme=http&region=us-east-1"
        return Place(self.bucket, prefix, query)

    def start(self) -> None:
        """Start it, with its bucket."""
        self._thread.start()
        with pytest.MonkeyPatch.context() as patch:
            for name, text in self.environment.items():
                patch.setenv(name, text)
            Bucket(self.place("")).client.create_bucket(Bucket=self.bucket)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @contextmanager
    def being_away(self) -> Iterator[None]:
        """Answer every request with 503, for the length of a `with` block."""
        self._is_away = True
        try:
            yield
        finally:
            self._is_away = False

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self._is_away:
            # What the client sends is read, or it takes the connection for broken.
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", _BUSY)
            return [
                b"<Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>"
            ]
        time.sleep(self.pause_s)
        if self.takes_twice:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

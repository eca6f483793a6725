"""An HTTP proxy that loses answers: the server has acted, and the client does not know."""

import contextlib
import http.client
import random
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, final


@final
class LossyProxy:
    """Passes requests on to a server, and a part of its answers back.

    Args:
        target: the server's address, `http://HOST:PORT`.
        lost_fraction: part of the answers that is lost; the connection is closed instead.
        seed: of the choice which.
    """

    def __init__(self, target: str, lost_fraction: float, seed: int = 0) -> None:
        self.num_lost = self.num_passed = 0
        address = urllib.parse.urlsplit(target).netloc
        chance, proxy = random.Random(seed), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                sent = self.rfile.read(length)
                # Closed, too, where the server is away: a test is told of what is left open.
                with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as server:
                    server.request(self.command, self.path, sent, dict(self.headers))
                    answer = server.getresponse()
                    body = answer.read()
                if chance.random() < lost_fraction:
                    proxy.num_lost += 1
                    self.close_connection = True
                    return
                proxy.num_passed += 1
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler._pass_on)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

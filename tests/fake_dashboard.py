"""A Ray dashboard of a test's own: takes packages and jobs over HTTP, and runs nothing."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, final


@final
class FakeDashboard:
    """A dashboard on loopback, as a context manager.

    Args:
        host_name: of its only node.
        token: what it asks for; None: nothing.
    """

    def __init__(self, host_name: str, token: str | None = None) -> None:
        self.host_name = host_name
        self.token = token
        self.jobs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.packages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.tokens_seen: list[str | None] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def end(self, job_id: str, status: str, log: str = "") -> None:
        """Have a job end."""
        self.jobs[job_id]["status"] = status
        self.logs[job_id] = log

    def forget(self) -> None:
        """Lose jobs and packages, as a head that is started anew."""
        self.jobs.clear()
        self.packages.clear()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return status and content of an answer."""
        self.asked.append(f"{method} {path}")
        first, _, rest = path.removeprefix("/api/").partition("/")
        if path == "/api/version":
            return 200, {"version": "4", "ray_version": "2.60.0"}
        if path.startswith("/nodes"):
            return 200, {"data": {"hostNameList": [self.host_name]}}
        if first == "packages":
            return self._package(method, rest, body)
        if first == "jobs":
            return self._job(method, rest, body)
        return 404, {}

    def _package(self, method: str, name: str, body: bytes) -> tuple[int, Any]:
        if method == "PUT":
            self.packages[name] = body
        return (200, {}) if name in self.packages else (404, {})

    def _job(self, method: str, rest: str, body: bytes) -> tuple[int, Any]:
        job_id, _, what = rest.partition("/")
        if method == "POST" and not job_id:
            asked = json.loads(body)
            if asked["submission_id"] in self.jobs:
                return 400, {"text": "already exists"}
            details = {"status": "PENDING", "job_id": None, "start_time": len(self.jobs)}
            self.jobs[asked["submission_id"]] = {**asked, **details}
            return 200, {"submission_id": asked["submission_id"]}
        if not job_id:
            return 200, list(self.jobs.values())
        if job_id not in self.jobs or what == "logs/tail":
            return 404, {}
        if what == "logs":
            return 200, {"logs": self.logs.get(job_id, "")}
        if what == "stop":
            self.end(job_id, "STOPPED")
        return 200, self.jobs[job_id]


def _handler(fake: FakeDashboard) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = self.headers.get("Authorization")
            fake.tokens_seen.append(given)
            if fake.token is None or given == f"Bearer {fake.token}":
                status, content = fake.answer(self.command, self.path, body)
            else:
                status, content = (403 if given else 401), {}
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = _answer  # noqa: N815 (the names that the server looks for)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    return Handler

"""A web server on 127.0.0.1 for a folder, with ranges and validators or without."""

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Plain, as `python -m http.server`: whole files, with the time of their last change."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _WithRanges(_Handler):
    """Gives ranges of files, and an ETag that stands for their content."""

    def do_GET(self) -> None:
        content = self._content()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if content is None or asked is None:
            super().do_GET()
            return
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(content))
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(content[start:stop])

    def end_headers(self) -> None:
        content = self._content()
        if content is not None:
            self.send_header("ETag", f'"{hash(content)}"')
        super().end_headers()

    def _content(self) -> bytes | None:
        path = Path(self.translate_path(self.path))
        return path.read_bytes() if path.is_file() else None


class _WithoutValidators(_Handler):
    """Says neither when a file was changed nor what stands for its content."""

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Last-Modified":
            super().send_header(keyword, value)


class _WithoutHead(_WithRanges):
    """Refuses to tell of a file without giving it, as where a URL is signed for that alone."""

    def do_HEAD(self) -> None:
        self.send_error(403)


class CutsShort(_Handler):
    """Ends each answer before its end."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        outputfile.write(source.read()[:-10])


HANDLERS = {
    "ranges": _WithRanges,
    "whole": _Handler,
    "no validators": _WithoutValidators,
    "no head": _WithoutHead,
}


@contextmanager
def web_server(folder: Path, kind: type[_Handler]) -> Iterator[str]:
    """Give the URL of a folder, for a `with` block."""

    def handler(*args: Any) -> http.server.BaseHTTPRequestHandler:
        return kind(*args, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()

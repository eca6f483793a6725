"""Files at http:// and https://, as fsspec has file systems: read by ranges where the server can.

Of a server that gives a file only whole, it is fetched into a temporary file each time it is
opened. What stands for a file's content is its ETag, or when it was modified; where the server says
neither, the hash of the content itself.
"""

import hashlib
import io
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from typing import IO, Any, Final, final

from fsspec import AbstractFileSystem

_TIMEOUT_S: Final = 60.0
_BLOCK_BYTES: Final = 4 * 2**20
_IN_MEMORY_BYTES: Final = 64 * 2**20
_FAULTS: Final[dict[int, type[OSError]]] = {
    HTTPStatus.NOT_FOUND: FileNotFoundError,
    HTTPStatus.GONE: FileNotFoundError,
    HTTPStatus.UNAUTHORIZED: PermissionError,
    HTTPStatus.FORBIDDEN: PermissionError,
}


@final
class HttpFiles(AbstractFileSystem):  # type: ignore[misc]  # it has no annotations
    """Single files by their URL; no directories, and nothing is written."""

    protocol = ("http", "https")
    cachable = False  # each instance would be kept for ever

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return a file's `size` in bytes and its `version`.

        Raises:
            FileNotFoundError: there is none.
            OSError: the server does not give it, or cannot be reached.
        """
        try:
            size, version = _told(path, "HEAD")
        except OSError as fault:
            is_answer = isinstance(fault.__cause__, urllib.error.HTTPError)
            if not is_answer or isinstance(fault, FileNotFoundError):
                raise
            size, version = _told(path, "GET")  # a URL may be signed for that alone
        if size is None or not version:
            size, version = _read_through(path)
        return {"name": path, "type": "file", "size": size, "version": version}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "HttpFile":
        if mode != "rb":
            raise OSError("nothing can be written by http")
        return HttpFile(path)


@final
class HttpFile(io.RawIOBase):
    """A file that is read at any position.

    Args:
        url: where it is.

    Raises:
        FileNotFoundError: there is none.
        OSError: the server does not give it.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._position = 0
        self._start, self._block = 0, b""
        self._whole: IO[bytes] | None = None
        self._size = 0
        try:
            self._fetch(0)
        except BaseException:  # raised again; a file that was never given cannot be closed later
            self.close()
            raise

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position, and return it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, fewer only at the end."""
        left = self._size - self._position
        left = max(0, left if size is None or size < 0 else min(size, left))
        if self._whole is not None:
            self._whole.seek(self._position)
            content = self._whole.read(left)
        else:
            content = b"".join(self._ranges(left))
        self._position += len(content)
        return content

    def close(self) -> None:
        """Let go of what was fetched."""
        if self._whole is not None:
            self._whole.close()
        super().close()

    def _ranges(self, left: int) -> Iterator[bytes]:
        position = self._position
        while left > 0:
            if not self._start <= position < self._start + len(self._block):
                self._fetch(position)
            part = self._block[position - self._start :][:left]
            if not part:
                raise OSError(f"{self._url} ended at byte {position:,} of {self._size:,}")
            yield part
            position += len(part)
            left -= len(part)

    def _fetch(self, position: int) -> None:
        """Fetch a block, or all of it where the server gives no ranges."""
        wanted = {"Range": f"bytes={position}-{position + _BLOCK_BYTES - 1}"}
        with _answer(self._url, headers=wanted) as answer:
            if answer.status == HTTPStatus.PARTIAL_CONTENT:
                self._start, self._block = position, answer.read()
                size = str(answer.headers.get("Content-Range")).rpartition("/")[2]
                if not size.isdecimal():
                    raise OSError(f"the server does not say how large {self._url} is")
                self._size = int(size)
                return
            if answer.status != HTTPStatus.OK:  # of an empty file no range can be had
                return
            # Closed in `close`: it lives as long as this file.
            self._whole = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
            for part in _parts(answer):
                self._size += self._whole.write(part)


def _told(url: str, method: str) -> tuple[int | None, str]:
    """Return what a server says of a file's size and version; of what it says nothing is read."""
    with _answer(url, method) as answer:
        said = [answer.headers.get(key) for key in ("ETag", "Last-Modified")]
        size = answer.headers.get("Content-Length")
    return None if size is None else int(size), " ".join(value for value in said if value)


def _read_through(url: str) -> tuple[int, str]:
    """Return a file's size, and the SHA-256 of its content."""
    content, size = hashlib.sha256(), 0
    with _answer(url) as answer:
        for part in _parts(answer):
            content.update(part)
            size += len(part)
    return size, content.hexdigest()


def _parts(answer: Any) -> Iterator[bytes]:
    """Yield an answer part by part; read in parts, one that is cut short looks like a whole one."""
    size = 0
    while part := answer.read(_BLOCK_BYTES):
        size += len(part)
        yield part
    said = answer.headers.get("Content-Length")
    if said is not None and size != int(said):
        raise OSError(f"the server's answer ended after {size:,} of {int(said):,} bytes")


@contextmanager
def _answer(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> Iterator[Any]:
    asked = {"User-Agent": "distrain", "Accept-Encoding": "identity", **(headers or {})}
    request = urllib.request.Request(url, headers=asked, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as fault:
        with fault:
            if fault.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                yield fault
                return
            kind = _FAULTS.get(fault.code, OSError)
            raise kind(f"the server answered {fault.code} {fault.reason}") from fault
    except HTTPException as fault:  # cut short, or no answer of HTTP's
        raise OSError(f"the server's answer is not whole ({fault!r})") from fault

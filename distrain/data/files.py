"""Files of a source: where they are, how they are opened."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, final
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from distrain.config.names import format_named, is_remote
from distrain.errors import DataError, did_you_mean, first_line

# fsspec fills in Jinja's templates in these, older ones outside of any sandbox.
_TEMPLATE: Final = re.compile(r"(^fsspec\+|::)reference\b")
COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


@final
@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Args:
        uri: an absolute local path, or a URI with a scheme.
        num_bytes: its size as stored.
        version: what changes when the content does: modification time in ns, where there is one.
    """

    uri: str
    num_bytes: int
    version: str

    @property
    def compression(self) -> str | None:
        """Return `gzip`, `zstd`, `bz2`, or None for a plain file."""
        return COMPRESSIONS.get(PurePosixPath(without_query(self.uri)).suffix.lower())


@final
@dataclass(frozen=True)
class Listing:
    """The files of a source, in the order in which their rows count.

    Args:
        format: a format of `data.format`, or `built-in`.
        files: for idx the images, then the labels; for a built-in one entry with its name.
    """

    format: str
    files: tuple[SourceFile, ...]

    @property
    def num_bytes(self) -> int:
        """Return the size of all files as stored."""
        return sum(file.num_bytes for file in self.files)

    def to_json(self) -> list[list[str | int]]:
        """Return what must be equal for the content to count as unchanged."""
        files: list[list[str | int]] = [
            [file.uri, file.num_bytes, file.version] for file in self.files
        ]
        return [[self.format], *files]


def is_http(uri: str) -> bool:
    """Return whether a URI names a file at a web server."""
    return uri.startswith(("http://", "https://"))


def without_query(uri: str) -> str:
    """Return a URI without what stands behind its `?`; a path as it is, which may hold one."""
    return uri.partition("?")[0] if is_remote(uri) else uri


def filesystem_of(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URI, and the path within it.

    Raises:
        DataError: the scheme is unknown, or the place cannot be reached.
    """
    if uri.startswith("file://"):
        return fs.LocalFileSystem(), unquote(uri.removeprefix("file://"))
    if "://" not in uri:
        return fs.LocalFileSystem(), uri
    if is_http(uri):
        from distrain.data.http_files import HttpFiles

        return fs.PyFileSystem(fs.FSSpecHandler(HttpFiles())), uri
    if _TEMPLATE.search(uri):
        raise DataError(
            "the place is a file of references, whose templates would be run",
            where=uri,
            expected="a path, or a URI of a storage",
            mend="Name the files that it refers to.",
        )
    try:
        found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(uri)
    except (ValueError, ImportError, OSError) as fault:  # an unknown or uninstalled scheme, too
        raise DataError(
            f"the place cannot be opened ({first_line(fault)})",
            where=uri,
            expected="a path, or a URI that pyarrow.fs knows: file, https, s3, gs, hdfs, "
            "abfs or fsspec+NAME",
            mend="Check the scheme, the spelling and the credentials.",
        ) from fault
    return found


def below(place: str, name: str) -> str:
    """Return the URI of a name below another URI, whose query stays at the end."""
    base, mark, query = place.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def read_remote(uri: str) -> bytes:
    """Return the content of a small file on remote storage.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
        DataError: the scheme is unknown, or the place cannot be reached.
    """
    system, path = filesystem_of(uri)
    with system.open_input_stream(path, compression=None) as file:
        content: bytes = file.read()
    return content


def new_remote(uri: str) -> pa.NativeFile:
    """Return a new file on remote storage, opened for writing, in a folder that may be missing.

    Raises:
        OSError: it cannot be written.
        DataError: the scheme is unknown, or the place cannot be reached.
    """
    system, path = filesystem_of(uri)
    try:
        return system.open_output_stream(path, compression=None)
    except FileNotFoundError:  # an object store has no folders, and may not allow making one
        system.create_dir(str(PurePosixPath(path).parent))
        return system.open_output_stream(path, compression=None)


def write_remote(uri: str, content: bytes) -> None:
    """Write a small file to remote storage; an object store shows it when all of it is there.

    Raises:
        DataError: it cannot be written.
    """
    try:
        with new_remote(uri) as file:
            file.write(content)
    except OSError as fault:
        raise DataError(
            f"the file cannot be written ({first_line(fault)})",
            where=uri,
            expected="storage that this user may write to",
            mend="Check the credentials and the connection, or choose another place by "
            "data.cache.path.",
        ) from fault


def open_file(uri: str) -> pa.NativeFile:
    """Return a file opened for reading at any position.

    Raises:
        DataError: it is not there any more, or may not be read.
    """
    system, path = filesystem_of(uri)
    try:
        return system.open_input_file(path)
    except FileNotFoundError as fault:
        raise missing_file(uri) from fault
    except OSError as fault:
        raise DataError(
            f"the file cannot be read ({first_line(fault)})",
            where=uri,
            expected="a file that this user may read",
            mend="Check its permissions and the connection.",
        ) from fault


def source_file(uri: str, info: fs.FileInfo) -> SourceFile:
    """Return a file as its file system describes it."""
    if is_http(uri):
        from distrain.data.http_files import HttpFiles

        return SourceFile(uri, int(info.size), HttpFiles().info(uri)["version"])
    return SourceFile(uri, int(info.size), str(info.mtime_ns or ""))


def current_file(uri: str) -> SourceFile:
    """Return a file of a source as it is now.

    Raises:
        DataError: it is not there any more, or the place cannot be reached.
    """
    system, path = filesystem_of(uri)
    try:
        info = system.get_file_info(path)
    except OSError as fault:
        raise DataError(
            f"the file cannot be looked at ({first_line(fault)})",
            where=uri,
            expected="a file that this user may read",
            mend="Check its permissions and the connection.",
        ) from fault
    if info.type != fs.FileType.File:
        raise missing_file(uri)
    return source_file(uri, info)


def missing_file(name: str) -> DataError:
    """Return the error for a path that is not there, with the nearest name in its folder."""
    if is_http(name):
        told = "Check the address; a web server's files are named one by one."
        return DataError("no such file", where=name, expected="existing data", mend=told)
    system, path = filesystem_of(absolute(name))
    folder = str(PurePosixPath(path).parent)
    there = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    if not there:
        mend = f"There is nothing in {folder} either; check the path."
    else:
        seen = [info for info in there if not info.base_name.startswith(".")]
        fitting = [info.base_name for info in seen if not info.is_file or format_named(info.path)]
        names = fitting or [info.base_name for info in seen]
        mend = did_you_mean(PurePosixPath(path).name, names, listed=f"In {folder} there are")
    return DataError("no such file or directory", where=name, expected="existing data", mend=mend)


def absolute(name: str) -> str:
    """Return a URI as it is, `file://` and paths as an absolute local path."""
    if is_remote(name):
        return name
    local = unquote(name.removeprefix("file://")) if name.startswith("file://") else name
    try:
        return os.path.abspath(Path(local).expanduser())  # noqa: PTH100 (no symlink is followed)
    except RuntimeError as fault:
        raise DataError(
            "there is no user of that name",
            where=name,
            expected="existing data",
            mend="Write the path out.",
        ) from fault


def is_of_storage(error: BaseException | None) -> bool:
    """Return whether an exception says that storage failed, rather than that a name is wrong."""
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | PermissionError)


@contextmanager
def reading(files: Iterable[SourceFile]) -> Iterator[None]:
    """Raise a DataError for what goes wrong below while files are read.

    Raises:
        DataError: a file is damaged, cut short, or out of reach.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as fault:
        names = [file.uri for file in files]
        raise DataError(
            f"reading failed ({first_line(fault)})",
            where=", ".join(names[:3]) + (", ..." if len(names) > 3 else ""),
            expected="files that can be read to their end",
            mend="Check that they are whole, and what they are compressed with.",
        ) from fault

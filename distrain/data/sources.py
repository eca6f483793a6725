"""What `data.source` names, as a listing of files: a path, glob, directory, URI or built-in.

A listing is sorted and complete before anything is read, and stands for the content afterwards: the
same URIs, sizes and modification times (or ETags) need not be read again.
"""

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Final

from pyarrow import fs

from distrain.config.data import IdxSource, Source
from distrain.config.names import FORMAT_OF_ENDING, is_remote
from distrain.data.builtin import BUILT_IN_PREFIX, check_built_in, library_version
from distrain.data.files import (
    COMPRESSIONS,
    Listing,
    SourceFile,
    absolute,
    filesystem_of,
    is_http,
    missing_file,
    source_file,
    without_query,
)
from distrain.errors import DataError, first_line, nearest

# What a directory is full of, where it holds tables, too, goes with them.
_ASIDE: Final = ("images", "json")
_PACKED: Final = ("csv", "tsv", "json", "jsonl", "text", "idx", "built-in")
_AS_PARQUET: Final = "Write it as Parquet or CSV, by pandas for example."
_UNPACKED: Final = "Unpack it, and name the files or their folder."
_OF_OTHERS: Final = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "Save the sheet as CSV."),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), f"Nothing is unpickled. {_AS_PARQUET}"),
    **dict.fromkeys((".h5", ".hdf5", ".orc", ".avro", ".dta", ".sav", ".rds"), _AS_PARQUET),
    **dict.fromkeys(
        (".db", ".sqlite", ".sqlite3", ".duckdb"), "Export the table as Parquet or CSV."
    ),
    **dict.fromkeys((".pt", ".pth", ".mat"), "Give its rows by data.dataset, a torch Dataset."),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar", ".xz"), _UNPACKED),
}
"""How what has these extensions becomes what is read."""
_GLOB_CHARACTERS: Final = frozenset("*?[")


def list_source(source: Source, format_: str | None = None) -> Listing:
    """Return the files that a source names.

    Args:
        source: as under `data.source`.
        format_: as under `data.format`; None: by extension.

    Raises:
        DataError: nothing is there, or nothing that can be read.
    """
    if isinstance(source, IdxSource):
        pair = (source.idx.images, source.idx.labels)
        return Listing("idx", tuple(_file(name) for name in pair))
    names = [source] if isinstance(source, str) else source
    if len(names) == 1 and names[0].startswith(BUILT_IN_PREFIX):
        check_built_in(names[0])
        return Listing("built-in", (SourceFile(names[0], 0, library_version()),))
    if format_ == "idx":
        raise DataError(
            "IDX data comes in two files",
            where=f"data.source = {names[0]}",
            expected="source: {idx: {images: FILE, labels: FILE}}",
            mend="Name both files, and leave data.format out.",
        )
    files = [file for name in names for file in _expand(name, format_)]
    _check_unique(files)
    listing = Listing(format_ or _common_format(files), tuple(files))
    _check_packed(listing)
    return listing


def has_known_ending(file: SourceFile) -> bool:
    """Return whether a file's extension says what it holds."""
    return _ending(file.uri) in FORMAT_OF_ENDING


def local_places(source: Source) -> list[Path]:
    """Return what a source names on this machine's file system: files, folders, those of globs.

    Args:
        source: as under `data.source`; of a URI or a built-in there is nothing.
    """
    if isinstance(source, IdxSource):
        names = [source.idx.images, source.idx.labels]
    else:
        names = [source] if isinstance(source, str) else source
    paths = [
        Path(absolute(name))
        for name in names
        if not is_remote(name) and not name.startswith(BUILT_IN_PREFIX)
    ]
    return [path if os.path.lexists(path) else Path(_fixed_part(str(path))) for path in paths]


def _expand(name: str, format_: str | None) -> list[SourceFile]:
    """Return the files behind one path, glob, directory or URI, sorted."""
    if name.startswith(BUILT_IN_PREFIX):
        raise DataError(
            "a built-in data set stands in a list",
            where=f"data.source = {name}",
            expected="the built-in alone, or files",
            mend="Name it without the list.",
        )
    system, path = filesystem_of(absolute(name))
    info = _info(system, path, name)
    is_absent = info.type == fs.FileType.NotFound
    if is_absent and _GLOB_CHARACTERS & set(name) and not is_http(name):
        return _glob(name)
    if info.type == fs.FileType.Directory:
        return _directory(name, format_)
    return [_file(name)]


def _file(name: str) -> SourceFile:
    uri = absolute(name)
    system, path = filesystem_of(uri)
    info = _info(system, path, name)
    if info.type == fs.FileType.NotFound:
        raise missing_file(name)
    if info.type == fs.FileType.Directory:
        raise DataError(
            "this is a directory", where=name, expected="a file", mend="Name the file in it."
        )
    if info.type != fs.FileType.File:
        raise DataError(
            "this is neither a file nor a directory",
            where=name,
            expected="a file, which can be read more than once",
            mend="Write the data to a file first.",
        )
    return _checked([source_file(uri, info)])[0]


def _info(system: fs.FileSystem, path: str, name: str) -> fs.FileInfo:
    try:
        return system.get_file_info(path)
    except OSError as fault:
        raise DataError(
            f"the place cannot be looked at ({first_line(fault)})",
            where=f"data.source = {name}",
            expected="a place that this user may read",
            mend="Check the spelling, the credentials and the connection.",
        ) from fault


def _glob(pattern: str) -> list[SourceFile]:
    uri = absolute(pattern)
    system, path = filesystem_of(uri)
    parts = PurePosixPath(path).parts
    folder = _fixed_part(path)
    infos = _walk(system, folder, uri)
    files = [
        source_file(uri.replace(path, info.path, 1), info)
        for info in infos
        if _matches(PurePosixPath(info.path).parts, parts) and not _is_hidden(info.path, folder)
    ]
    if not files:
        near = nearest(PurePosixPath(path).name, (PurePosixPath(i.path).name for i in infos))
        raise DataError(
            "no file matches",
            where=f"data.source = {pattern}",
            expected="at least one file",
            mend=(f"The nearest file there is {near!r}. " if near else "")
            + f"Check the pattern; it was looked for below {folder}.",
        )
    return _checked(files)


def _fixed_part(path: str) -> str:
    """Return the folder that a glob is looked for below; a path without wildcards as it is."""
    fixed = takewhile(lambda part: not _GLOB_CHARACTERS & set(part), PurePosixPath(path).parts)
    return str(PurePosixPath(*fixed))


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path matches a glob, part by part; `**` stands for any folders or none."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _directory(name: str, format_: str | None) -> list[SourceFile]:
    uri = absolute(name)
    system, path = filesystem_of(uri)
    files = [
        source_file(uri.replace(path, info.path, 1), info)
        for info in _walk(system, path, uri)
        if not _is_hidden(info.path, path)
    ]
    endings = [known for known, kind in FORMAT_OF_ENDING.items() if format_ in (None, kind)]
    chosen = [file for file in files if _ending(file.uri) in endings]
    if format_ is None:
        tables = [file for file in chosen if FORMAT_OF_ENDING[_ending(file.uri)] not in _ASIDE]
        chosen = tables or chosen
    if not chosen and format_ is not None:
        chosen = files
    if not chosen:
        seen = sorted({_ending(file.uri) or "no extension" for file in files})
        found = f"; there are files with {', '.join(seen[:8])}" if seen else "; it is empty"
        raise DataError(
            f"the directory holds no data files{found}",
            where=f"data.source = {name}",
            expected=f"files that end in {', '.join(endings)} (also .gz, .zst, .bz2 for text)",
            mend="Name the directory with the data, or say data.format.",
        )
    return _checked(chosen)


def _walk(system: fs.FileSystem, folder: str, uri: str) -> list[fs.FileInfo]:
    try:
        infos = system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    except OSError as fault:
        raise DataError(
            f"the directory cannot be listed ({first_line(fault)})",
            where=uri,
            expected="a directory that this user may read",
            mend="Check its permissions and the connection.",
        ) from fault
    return sorted((i for i in infos if i.type == fs.FileType.File), key=lambda info: info.path)


def _checked(files: list[SourceFile]) -> list[SourceFile]:
    """Return files as they are, unless all of them are empty."""
    if not any(file.num_bytes for file in files):
        raise DataError(
            "the file is empty" if len(files) == 1 else f"all {len(files)} files are empty",
            where=files[0].uri,
            expected="rows",
            mend="Write the data again, or name another file.",
        )
    return files


def _common_format(files: Sequence[SourceFile]) -> str:
    formats = {FORMAT_OF_ENDING.get(_ending(file.uri)): file for file in files}
    if None in formats:
        ending = _ending(formats[None].uri)
        is_known = ending in _OF_OTHERS
        raise DataError(
            f"{ending} files are not read"
            if is_known
            else "the extension says nothing about the format",
            where=formats[None].uri,
            expected=f"one of {', '.join(FORMAT_OF_ENDING)}, or data.format",
            mend=_OF_OTHERS.get(ending, "Set data.format to what it is, e.g. csv or text."),
        )
    if len(formats) > 1:
        raise DataError(
            f"files of different formats stand together: {', '.join(sorted(map(str, formats)))}",
            where="data.source",
            expected="files of one format",
            mend="Set data.format to the one that is meant, or name the files.",
        )
    return str(next(iter(formats)))


def _check_packed(listing: Listing) -> None:
    packed = next((file for file in listing.files if file.compression is not None), None)
    if packed is not None and listing.format not in _PACKED:
        raise DataError(
            f"{listing.format} files are not read through {packed.compression}",
            where=packed.uri,
            expected=f"the {listing.format} file itself; text alone is unpacked while it is read",
            mend="Unpack it first.",
        )


def _check_unique(files: Iterable[SourceFile]) -> None:
    seen: set[str] = set()
    for file in files:
        if file.uri in seen:
            raise DataError(
                "the file is listed twice",
                where=file.uri,
                expected="each file once",
                mend="Its rows would count twice; take it out of data.source once.",
            )
        seen.add(file.uri)


def _ending(uri: str) -> str:
    """Return the extension in lower case, without that of a compression."""
    path = PurePosixPath(without_query(uri))
    return (path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path).suffix.lower()


def _is_hidden(path: str, folder: str) -> bool:
    inside = PurePosixPath(path).relative_to(folder).parts
    return any(part.startswith((".", "_")) for part in inside)

"""The other files of a run's folder at the store: what the driver writes, `result.json` the last.

    <run>/files/<generation>/<path>

Of a path, the newest generation's object counts; an empty result says that there is none any more.
Whether a file has changed its content tells, not its size.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from distrain.object_store.bucket import Bucket, Entry
from distrain.object_store.generations import FILES, Generation
from distrain.object_store.link import Link, Sent

RESULT: Final = "result.json"
CONFIG: Final = "config.yaml"
"""Put last of what a run begins with: where it is, the run can be gone on with."""
_LOGS: Final = "logs/"
TRIALS: Final = "trials/"
"""Below a search's folder, and its place at a store, the trials': see `trials.py`."""
_MOST_OF_A_LOG: Final = 8 << 20
# The rest of the folder goes its own way, or is of this host alone.
_ELSEWHERE: Final = ("checkpoints/", "ledger/", "logs/beat-", "logs/failure-", TRIALS)


def put_files(link: Link, *, surely: bool = False) -> None:
    """Put what has changed in the folder, but for the result; return when the store has it.

    Args:
        link: of the run.
        surely: whether all content is compared, and not only that of files that look changed.

    Raises:
        OSError: a file cannot be read, or the store does not take it now.
    """
    with link.sending:
        names = [name for name in _names(link.folder) if name not in (RESULT, CONFIG)]
        for name in [*names, CONFIG]:
            if (link.folder / name).is_file():
                _put_changed(link, name, surely=surely)


def put_result(link: Link) -> None:
    """Put the run's result, after everything else that belongs to it.

    Raises:
        OSError: as `put_files`.
    """
    put_files(link, surely=True)
    with link.sending:
        _put_changed(link, RESULT, surely=True)


def take_back_result(link: Link) -> None:
    """Let the run have no result from now on: it goes on.

    Raises:
        OSError: the store does not take it now.
    """
    with link.sending:
        link.run.put(f"{FILES}{link.writer}/{RESULT}", b"")
        link.sent.pop(RESULT, None)


def newest_files(run: Bucket, path: str = "") -> dict[str, Entry]:
    """Return the objects of the folder's files that count, by path.

    Args:
        run: the run's objects.
        path: what the paths begin with.

    Raises:
        OSError: the store cannot tell now.
    """
    found: dict[str, tuple[Generation, Entry]] = {}
    for entry in run.entries(FILES):
        of, name = Generation.of(entry.name), entry.name.split("/", 2)[-1]
        if of is None or not name.startswith(path):
            continue
        if name not in found or found[name][0] < of:
            found[name] = (of, entry)
    return {name: entry for name, (_, entry) in found.items() if entry.num_bytes or name != RESULT}


def take_in_files(link: Link) -> None:
    """Fetch the files of the folder that are others than were fetched before; no logs.

    Raises:
        OSError: the store cannot give them now, or the disk takes none.
    """
    with link.sending:
        newest = newest_files(link.run)
        for name, entry in newest.items():
            known = link.sent.get(name)
            if name.startswith((_LOGS, TRIALS)) or (known is not None and known.etag == entry.etag):
                continue
            path = link.folder / name
            link.run.get_file(entry.name, path)
            link.sent[name] = Sent(_look(path), _digest(path), entry.etag)
        if RESULT not in newest:
            (link.folder / RESULT).unlink(missing_ok=True)


def fetch(run: Bucket, path: str, folder: Path) -> None:
    """Fetch the files whose paths begin with a text into a folder, at their paths.

    Raises:
        OSError: the store cannot give them now, or the disk takes none.
    """
    for name, entry in newest_files(run, path).items():
        run.get_file(entry.name, folder / name)


def fetch_some(run: Bucket, names: Collection[str], folder: Path) -> None:
    """Fetch files of a run by their paths; those that are not there are left out.

    Raises:
        OSError: as `fetch`.
    """
    for name, entry in newest_files(run).items():
        if name in names:
            run.get_file(entry.name, folder / name)


def _put_changed(link: Link, name: str, *, surely: bool) -> None:
    path = link.folder / name
    look = _look(path)
    known = link.sent.get(name)
    if known is not None and known.look == look and not surely:
        return
    digest = _digest(path)
    if known is None or known.digest != digest:
        _put(link, name, path)
    link.sent[name] = Sent(look, digest)


def put_log(link: Link, name: str, path: Path) -> None:
    """Put a log among the folder's files, or its last part where it is long.

    Raises:
        OSError: the file cannot be read, or the store does not take it now.
    """
    to, size = f"{FILES}{link.writer}/{name}", path.stat().st_size
    if size <= _MOST_OF_A_LOG:
        link.run.put_file(to, path)
        return
    with path.open("rb") as file:
        file.seek(size - _MOST_OF_A_LOG)
        link.run.put(to, file.read(_MOST_OF_A_LOG))


def _put(link: Link, name: str, path: Path) -> None:
    if name.startswith(_LOGS):
        put_log(link, name, path)
    else:
        link.run.put_file(f"{FILES}{link.writer}/{name}", path)


def _look(path: Path) -> tuple[int, int, int]:
    """Return what is another where a file was written to, as far as its times tell."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(folder: Path) -> Iterator[str]:
    """Give the paths of the files that are put so, sorted."""
    for parent, folders, files in os.walk(folder):
        is_root = parent == str(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not (name.startswith(".") or (is_root and f"{name}/" in _ELSEWHERE))
        )
        for file in sorted(files):
            name = (Path(parent) / file).relative_to(folder).as_posix()
            is_segment = name.startswith("journal/") and name.endswith(".jsonl")
            if file.startswith(".") or name.startswith(_ELSEWHERE) or is_segment:
                continue
            yield name

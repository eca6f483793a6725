"""Where prepared datasets are kept: found again by listing and recipe, made once, never half.

```
<cache>/<digest>/                  a prepared dataset
<cache>/index/<key>.json           which digest a listing and a recipe led to
<cache>/.preparing-<key>-<random>/ one being made; renamed when whole
<cache>/.lock-<key>                held while it is made
```
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, final
from uuid import uuid4

from filelock import FileLock, Timeout

from distrain.data.manifest_checks import is_digest
from distrain.data.prepared import PreparedDataset
from distrain.durable import sync_folder, write_atomically
from distrain.errors import DataError
from distrain.foreign import read_json

_BEING_MADE: Final = ".preparing-"
_LOCK: Final = ".lock-"
KEY_LENGTH: Final = 16
_REMOVE_TRIES: Final = 50
_REMOVE_PAUSE_S: Final = 0.1


def digest_of(*parts: Any) -> str:
    """Return the SHA-256 (hex) of plain values, written as JSON with sorted keys."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@final
class Cache:
    """A folder of prepared datasets, seen through one listing and recipe.

    Args:
        folder: the cache; made when it is first needed.
        key: digest of listing and recipe.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self._key = key[:KEY_LENGTH]

    def find(self) -> PreparedDataset | None:
        """Return the prepared dataset, None where it is not there or not whole."""
        try:
            digest = read_json(self._index)["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self.open(digest) if is_digest(digest) else None

    def open(self, digest: str) -> PreparedDataset | None:
        """Return the prepared dataset of this digest, None where it is not there or not whole."""
        try:
            return PreparedDataset.open(self.folder / digest)
        except DataError:
            return None

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Give a folder to prepare in, while no other process prepares the same.

        The lock is taken before the folder is given, and may have been waited for: look with `find`
        again. Whatever is left in the folder is removed at the end; so is all else that an error
        leaves, up to the folders that were made for it.

        Raises:
            DataError: the cache cannot be written.
        """
        made, lock = self._locked()
        try:
            with lock:
                self._remove_leftovers()
                folder = self.folder / f"{_BEING_MADE}{self._key}-{uuid4().hex[:8]}"
                try:
                    yield folder
                finally:
                    _remove(folder)
                    # While it is held: who waits for it looks whether it is still the same file.
                    Path(lock.lock_file).unlink(missing_ok=True)
        finally:
            lock.release()
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()

    def place(self, folder: Path | str, digest: str) -> Path | str:
        """Return where the shards of a dataset are written: whatever it is, it is renamed last."""
        del digest
        return folder

    def keep(self, folder: Path | str, digest: str) -> PreparedDataset:
        """Move a whole prepared dataset to its place and note it in the index."""
        folder, place = Path(folder), self.folder / digest
        if self.open(digest) is None:
            _remove(place)
            try:
                folder.rename(place)
            except OSError:
                # Another run, with another listing of the same content, was first.
                if self.open(digest) is None:
                    raise
            sync_folder(self.folder)
        self.note(digest)
        return PreparedDataset.open(place)

    def note(self, digest: str) -> None:
        """Note in the index which digest this listing and recipe led to."""
        text = json.dumps({"digest": digest}).encode()
        write_atomically(self._index, text)

    def _locked(self) -> tuple[list[Path], FileLock]:
        """Return the folders that were made for the cache, and the lock, taken."""
        made = []
        lock = FileLock(self.folder / f"{_LOCK}{self._key}")
        while not lock.is_locked:
            made += self._make_folder()
            # The folder vanishes if another process made it and failed.
            with suppress(FileNotFoundError):
                lock.acquire()
        return made, lock

    @property
    def _index(self) -> Path:
        return self.folder / "index" / f"{self._key}.json"

    def _make_folder(self) -> list[Path]:
        """Make the cache's folder; return the folders that were made, innermost first."""
        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".probe-{uuid4().hex[:8]}"
            probe.touch()
            probe.unlink()
        except OSError as fault:
            for path in missing:
                with suppress(OSError):
                    path.rmdir()
            raise DataError(
                f"prepared data cannot be written here ({fault.strerror or fault})",
                where=str(self.folder),
                expected="a folder that this user may write to",
                mend="Choose another folder by data.cache.path or storage.",
            ) from fault
        return missing

    def _remove_leftovers(self) -> None:
        """Remove what preparers left that are dead: those whose lock is free."""
        for folder in self.folder.glob(f"{_BEING_MADE}*"):
            key = folder.name.removeprefix(_BEING_MADE).rpartition("-")[0]
            if key == self._key:
                _remove(folder)
                continue
            other = FileLock(self.folder / f"{_LOCK}{key}", timeout=0)
            try:
                with other:
                    _remove(folder)
                    Path(other.lock_file).unlink(missing_ok=True)
            except Timeout:
                continue


def _remove(folder: Path) -> None:
    """Remove a folder, also while a task that does not know yet still writes into it."""
    for _ in range(_REMOVE_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_REMOVE_PAUSE_S)

"""Prepared datasets on remote storage: found again by listing and recipe, manifest last.

```
<cache>/<digest>/            a prepared dataset; without its manifest it counts as not there
<cache>/index/<key>.json     which digest a listing and a recipe led to
```

An object store can neither rename nor lock. So shards are written to their place at once, and two
runs that prepare the same at the same time both do: their shards are the same byte by byte.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from distrain.data.cache import KEY_LENGTH
from distrain.data.files import below, read_remote, write_remote
from distrain.data.manifest_checks import is_digest
from distrain.data.prepared import PreparedDataset
from distrain.data.shard_cache import ShardCache
from distrain.data.shards import MANIFEST
from distrain.errors import DataError, first_line
from distrain.foreign import from_json


@final
class RemoteCache:
    """A place of prepared datasets on remote storage, seen through one listing and recipe.

    Args:
        location: URI of the place.
        key: digest of listing and recipe.
        shards: where this node keeps shards that are fetched.
    """

    def __init__(self, location: str, key: str, shards: ShardCache | None) -> None:
        self.location = location
        self._key = key[:KEY_LENGTH]
        self._shards = shards

    def find(self) -> PreparedDataset | None:
        """Return the prepared dataset, None where it is not there or not whole.

        Raises:
            DataError: the storage cannot be read.
        """
        text = self._read(f"index/{self._key}.json")
        try:
            digest = from_json(text)["digest"] if text else None
        except (ValueError, KeyError, TypeError):
            return None
        return self.open(str(digest)) if is_digest(digest) else None

    def open(self, digest: str) -> PreparedDataset | None:
        """Return the prepared dataset of this digest, None where it is not there or not whole.

        Raises:
            DataError: the storage cannot be read, or the node's cache is too small.
        """
        if self._read(f"{digest}/{MANIFEST}") is None:
            return None
        return PreparedDataset.open(below(self.location, digest), self._shards)

    @contextmanager
    def making(self) -> Iterator[str]:
        """Give the place to prepare in. What an error leaves there has no manifest.

        Raises:
            DataError: the storage cannot be written.
        """
        write_remote(below(self.location, "index/.probe"), b"")
        yield self.location

    def place(self, folder: Path | str, digest: str) -> Path | str:
        """Return where the shards of a dataset are written."""
        return below(str(folder), digest)

    def keep(self, place: Path | str, digest: str) -> PreparedDataset:
        """Note a whole prepared dataset in the index."""
        self.note(digest)
        return PreparedDataset.open(place, self._shards)

    def note(self, digest: str) -> None:
        """Note in the index which digest this listing and recipe led to."""
        text = json.dumps({"digest": digest}).encode()
        write_remote(below(self.location, f"index/{self._key}.json"), text)

    def _read(self, name: str) -> bytes | None:
        try:
            return read_remote(below(self.location, name))
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise DataError(
                f"prepared data cannot be read here ({first_line(fault)})",
                where=self.location,
                expected="storage that can be reached",
                mend="Check the connection and the credentials, or choose another place by "
                "data.cache.path.",
            ) from fault

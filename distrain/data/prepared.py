"""The on-disk form of a prepared dataset: a manifest and Arrow shards; rows are taken by index.

```
<digest>/manifest.json            what is here, with hashes; written last, so its presence says done
<digest>/shards/train-00000.arrow one record batch of fixed-size columns, mapped, never copied whole
<digest>/shards/train-00000.rows  instead of it, where training rows are streamed (see `recipe.py`)
<digest>/shards/train-probe.arrow beside those: the first training rows
<digest>/shards/train-keys.bin    a key of each training row (see `making.py`)
```

Of a Dataset of the user's own (`data.dataset`) there is the manifest alone: see `own/`.

A split's rows are numbered from 0 through its shards in the order of the manifest, which is the
order of the source. Where the dataset lies on remote storage, each node keeps bounded copies of the
shards that are read from, fetched ahead of need.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from distrain.config.names import is_remote
from distrain.data.features import Transform
from distrain.data.files import below, read_remote
from distrain.data.manifest_checks import check_manifest
from distrain.data.mapped import Split
from distrain.data.shard_cache import ShardCache, shard_cache
from distrain.data.shard_content import damaged
from distrain.data.shard_files import FetchedShards, LocalShards, ShardFiles
from distrain.data.shards import (
    FORMAT_VERSION,
    MANIFEST,
    SHARD_FOLDER,
    SPLITS,
    Array,
    Column,
    Shard,
    SmallFile,
    read_small,
    training_columns,
)
from distrain.errors import DataError, first_line
from distrain.foreign import from_json, read_file

if TYPE_CHECKING:
    from distrain.data.own.opened import OwnRows
    from distrain.data.own.split import OwnSplit

__all__ = ["Array", "Column", "PreparedDataset", "Shard", "Split"]


@final
class PreparedDataset:
    """A prepared dataset, opened for reading.

    Args:
        path: its folder, or the URI of that.
        manifest: the parsed `manifest.json`.
        cache: where this node keeps shards that are fetched from a URI.
        num_processes: processes that read ahead of a Dataset of the user's own.
    """

    def __init__(
        self,
        path: Path | str,
        manifest: dict[str, Any],
        cache: ShardCache | None = None,
        *,
        num_processes: int = 0,
    ) -> None:
        self.path = path
        self.manifest = manifest
        self._cache = cache
        self._num_processes = num_processes

    @classmethod
    def open(cls, path: str | Path, cache: ShardCache | None = None) -> "PreparedDataset":
        """Return the prepared dataset in a folder, or at a URI.

        The size of local files is checked now, the content of remote shards when it is fetched,
        and that of small files when it is read.

        Args:
            path: its folder, or the URI of that.
            cache: where this node keeps shards that are fetched from a URI [unbounded, in the
                temporary folder].

        Raises:
            DataError: there is none, it is of another format, or shards are missing or cut short.
        """
        if isinstance(path, str) and is_remote(path):
            return cls(path, _read_manifest(path), cache or shard_cache(None, None))
        folder = Path(path)
        dataset = cls(folder, _read_manifest(folder))
        entries: list[Shard | SmallFile] = [*dataset.shards(), *dataset._small_files.values()]
        for entry in entries:
            _check_size(folder, entry)
        return dataset

    def with_manifest(self, manifest: dict[str, Any]) -> "PreparedDataset":
        """Return the same dataset with another manifest, which is not written."""
        return PreparedDataset(self.path, manifest, self._cache)

    def read_by(self, num_processes: int) -> "PreparedDataset":
        """Return the same dataset, whose Dataset of the user's own is read by processes."""
        return PreparedDataset(self.path, self.manifest, self._cache, num_processes=num_processes)

    @property
    def digest(self) -> str:
        """Return the SHA-256 (hex) over sources, recipe and format."""
        return str(self.manifest["digest"])

    @cached_property
    def transform(self) -> Transform:
        """Return the fitted transform between raw columns and tensors."""
        try:
            return Transform.from_json(self.manifest["transform"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
            told = f"the transform has other fields ({fault})"
            raise damaged(f"{self.path}, {MANIFEST}", told, "one that was fitted here") from fault

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Return all columns by name; `target` is only in validation and test."""
        return {
            name: Column(entry["dtype"], tuple(entry["shape"]))
            for name, entry in self.manifest["columns"].items()
        }

    def split(self, name: str) -> "Split | OwnSplit":
        """Return the split `train`, `validation` or `test`; it may be empty.

        Of a training split that is streamed, the shards are only listed (see `streamed.py`).
        """
        return self.shard_split(name) if self.own is None else self.own.split(name)

    def shard_split(self, name: str) -> Split:
        """Return a split whose rows are in shards."""
        shards = [Shard(**entry) for entry in self.manifest["splits"][name]["shards"]]
        columns = training_columns(self.columns) if name == "train" else self.columns
        is_here = name != "train" or not self.is_streamed
        files = self._files() if is_here else LocalShards(Path(self.path))
        return Split(files, shards, columns)

    @cached_property
    def own(self) -> "OwnRows | None":
        """Return the rows where they stay in a Dataset of the user's own; None: they are here."""
        if "dataset" not in self.manifest:
            return None
        from distrain.data.own.opened import OwnRows  # imports torch

        return OwnRows(self.manifest["dataset"], self.transform, self._num_processes)

    @property
    def is_streamed(self) -> bool:
        """Return whether the training split is left where it is, and read from there."""
        return "stream" in self.manifest

    def shards(self) -> list[Shard]:
        """Return the shards of all splits that are here, in order."""
        names = [name for name in SPLITS if name != "train" or not self.is_streamed]
        return [
            Shard(**entry) for name in names for entry in self.manifest["splits"][name]["shards"]
        ]

    def read_small(self, file: str) -> bytes:
        """Return the content of a small file beside the shards.

        Raises:
            DataError: it cannot be read, or is not what was written.
        """
        place = f"{self.path}, {file}"
        try:
            content = read_small(self.path, file)
        except OSError as fault:
            raise damaged(
                place, f"the file cannot be read ({first_line(fault)})", "a file of the dataset"
            ) from fault
        expected = self._small_files[file].sha256
        if hashlib.sha256(content).hexdigest() != expected:
            raise damaged(place, "the file is damaged", f"the SHA-256 {expected[:12]}...")
        return content

    @cached_property
    def _small_files(self) -> dict[str, SmallFile]:
        entries = (SmallFile(**entry) for entry in self.manifest.get("small_files", ()))
        return {entry.file: entry for entry in entries}

    def _files(self) -> ShardFiles:
        if self._cache is None:
            return LocalShards(Path(self.path))
        return FetchedShards(str(self.path), self._cache)


def _check_size(folder: Path, entry: Shard | SmallFile) -> None:
    path = folder / SHARD_FOLDER / entry.file
    what = "shard" if isinstance(entry, Shard) else "file"
    if not path.is_file():
        raise damaged(path, f"the {what} is missing", f"a file of {entry.num_bytes:,} bytes")
    size = path.stat().st_size
    if size != entry.num_bytes:
        raise damaged(
            path, f"the {what} has {size:,} bytes", f"{entry.num_bytes:,}, as the manifest says"
        )


def _read_manifest(folder: Path | str) -> dict[str, Any]:
    is_local = isinstance(folder, Path)
    place = f"{folder}/{MANIFEST}" if is_local else below(str(folder), MANIFEST)
    try:
        manifest = from_json(read_file(Path(place)) if is_local else read_remote(place))
    except FileNotFoundError as fault:
        raise DataError(
            "no prepared dataset is here",
            where=str(folder),
            expected=f"a folder with {MANIFEST}",
            mend="Prepare the data again; that makes the folder.",
        ) from fault
    except (OSError, ValueError) as fault:
        raise damaged(
            place, f"the manifest cannot be read ({first_line(fault)})", "JSON"
        ) from fault
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT_VERSION:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise damaged(place, f"the format is {found!r}", f"format {FORMAT_VERSION}")
    check_manifest(manifest, place)
    return manifest

"""What a prepared dataset's manifest says, checked before a file is opened by it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

import numpy as np

from distrain.data.shard_content import damaged
from distrain.data.shards import SPLITS, Shard, SmallFile
from distrain.errors import DataError
from distrain.foreign import is_count, is_plain_name

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MAX_DIMENSIONS: Final = 8
_KINDS: Final = "biuf"


def check_manifest(manifest: Mapping[str, Any], place: str) -> None:
    """Return where a manifest names files of its own folder, and no more rows than fit in them.

    Args:
        manifest: of a known format.
        place: where it lies, for a message.

    Raises:
        DataError: it has other entries.
    """
    columns, splits = manifest.get("columns"), manifest.get("splits")
    if not (isinstance(columns, dict) and all(map(_is_column, columns.values()))):
        raise _unfit(place, "columns")
    if not (isinstance(splits, dict) and all(map(_is_split, (splits.get(n) for n in SPLITS)))):
        raise _unfit(place, "splits")
    small = manifest.get("small_files", [])
    if not (isinstance(small, list) and all(_is_entry(entry, SmallFile) for entry in small)):
        raise _unfit(place, "small_files")
    if not isinstance(manifest.get("transform", {}), dict):
        raise _unfit(place, "transform")
    for name in SPLITS:
        if name != "train" or "stream" not in manifest:
            own = {key: columns[key] for key in columns if name != "train" or key != "target"}
            _check_room(splits[name]["shards"], sum(map(_row_bits, own.values())), place)


def is_digest(value: object) -> bool:
    """Return whether something is a SHA-256 in hex, which may be a file's name."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _check_room(shards: list[dict[str, Any]], row_bits: int, place: str) -> None:
    for shard in shards:
        if shard["num_rows"] * row_bits > 8 * shard["num_bytes"]:
            told = f"{shard['num_bytes']:,} bytes cannot hold {shard['num_rows']:,} rows"
            raise damaged(f"{place}, {shard['file']}", told, "rows that fit into the file")


def _row_bits(column: Mapping[str, Any]) -> int:
    width = 1
    for size in column["shape"]:
        width *= size
    # Arrow packs truth values.
    return width * (1 if column["dtype"] == "bool" else 8 * np.dtype(column["dtype"]).itemsize)


def _is_column(entry: object) -> bool:
    if not (isinstance(entry, dict) and isinstance(entry.get("shape"), list)):
        return False
    try:
        is_known = np.dtype(entry["dtype"]).name == entry["dtype"]
    except (TypeError, KeyError, ValueError, SyntaxError):
        return False
    is_number = is_known and np.dtype(entry["dtype"]).kind in _KINDS
    return (
        is_number and len(entry["shape"]) <= _MAX_DIMENSIONS and all(map(is_count, entry["shape"]))
    )


def _is_split(entry: object) -> bool:
    if not (isinstance(entry, dict) and isinstance(entry.get("shards"), list)):
        return False
    return all(_is_entry(shard, Shard) for shard in entry["shards"])


def _is_entry(entry: object, kind: type[Shard] | type[SmallFile]) -> bool:
    if not (isinstance(entry, dict) and entry.keys() == {field.name for field in fields(kind)}):
        return False
    return all(_FITS[name](value) for name, value in entry.items())


_FITS: Final[Mapping[str, Callable[[object], bool]]] = {
    "file": is_plain_name,
    "sha256": is_digest,
    "num_rows": is_count,
    "num_bytes": is_count,
}


def _unfit(place: str, key: str) -> DataError:
    return damaged(
        place, f"{key} is not what a prepared dataset has", "plain names, numbers and hashes"
    )

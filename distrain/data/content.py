"""What files hold, told by their bytes alone: the hashes that a dataset's digest is made of.

A pass that prepares data hashes what it reads, piece by piece. Here the same pieces are hashed
without being parsed, so that it can be told whether a file is still what it was, and which is not.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from distrain.data.builtin import load_built_in
from distrain.data.files import Listing, open_file
from distrain.data.prepared import PreparedDataset
from distrain.data.reading import Piece, Reading
from distrain.data.shards import SHARD_FOLDER, Shard
from distrain.data.text_files import next_line
from distrain.data.typed_tables import hash_part
from distrain.data.units import GROUPED_FORMATS, cut_into_units

Rows = npt.NDArray[np.int64]

_READ_BYTES: Final = 4 * 2**20
_ROWS_AT_ONCE: Final = 65_536


def content_hashes(
    listing: Listing, encoding: str = "utf-8", *, is_by_line: bool = False
) -> Iterator[tuple[str, ...]]:
    """Give for each file of a listing the SHA-256 (hex) that a manifest may name for its content.

    These are up to two: a large text file is hashed in pieces, or, where its records turn out to go
    over line breaks, as a whole.

    Args:
        listing: the files.
        encoding: of text files; see `data.read.encoding`.
        is_by_line: whether each line of text is an example; see `data.read.example`.

    Raises:
        DataError: a file is not there, or cannot be read.
    """
    reading = Reading(listing.format, (), (), encoding=encoding, is_by_line=is_by_line)
    in_pieces = _pieces(listing, reading, may_split=True)
    for number, pieces in in_pieces.items():
        found = [joined_hash([_piece_hash(piece, listing.format) for piece in pieces])]
        if len(pieces) > 1 and listing.format not in GROUPED_FORMATS:
            found.append(_piece_hash(Piece(listing.files[number], number), listing.format))
        yield tuple(found)


def joined_hash(hashes: Sequence[str]) -> str:
    """Return the hash of a file: its only piece's, or that over the hashes of its pieces."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256(b"".join(map(bytes.fromhex, hashes))).hexdigest()


def damaged_shards(dataset: PreparedDataset) -> list[Shard]:
    """Return the shards in a local folder whose content is not what the manifest says.

    Of a dataset on remote storage none is looked at: each is verified when it is fetched.
    """
    if not isinstance(dataset.path, Path):
        return []
    folder = dataset.path / SHARD_FOLDER
    return [
        shard
        for shard in dataset.shards()
        if _bytes_hash(str(folder / shard.file), 0, None) != shard.sha256
    ]


def changed_rows(before: PreparedDataset, after: PreparedDataset, split: str) -> Rows:
    """Return the numbers of the rows of a split that are not the same, ascending.

    None are told where there are more or fewer rows, or other columns, or where the split is
    streamed and so is not here.

    Args:
        before: a prepared dataset.
        after: another.
        split: `train`, `validation` or `test`.
    """
    both = [dataset.shard_split(split) for dataset in (before, after)]
    is_here = split != "train" or not (before.is_streamed or after.is_streamed)
    if not is_here or both[0].num_rows != both[1].num_rows or both[0].columns != both[1].columns:
        return np.zeros(0, dtype=np.int64)
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, both[0].num_rows, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, both[0].num_rows)
        old, new = (side.slice(start, stop) for side in both)
        is_other = np.zeros(stop - start, dtype=np.bool_)
        for name, values in old.items():
            # By their bytes: what is no number is equal to itself, too.
            pair = (np.ascontiguousarray(v).view(np.uint8) for v in (values, new[name]))
            one, other = (bytes_.reshape(stop - start, -1) for bytes_ in pair)
            is_other |= (one != other).any(axis=1)
        found.append(start + np.flatnonzero(is_other))
    return np.concatenate(found)


def _pieces(listing: Listing, reading: Reading, *, may_split: bool) -> dict[int, list[Piece]]:
    """Return the pieces of each file, by its number."""
    pieces: dict[int, list[Piece]] = {}
    for unit in cut_into_units(listing, reading, may_split=may_split):
        for piece in unit.pieces:
            pieces.setdefault(piece.file_number, []).append(piece)
    return pieces


def _piece_hash(piece: Piece, format_: str) -> str:
    if format_ == "built-in":
        return load_built_in(piece.file.uri)[1]
    if format_ in GROUPED_FORMATS:
        with open_file(piece.file.uri) as source:
            return hash_part(source, piece)[0]
    if piece.stop is None:
        return _bytes_hash(piece.file.uri, 0, None)
    with open_file(piece.file.uri) as source:
        start, stop = (next_line(source, at) for at in (piece.start, piece.stop))
    return _bytes_hash(piece.file.uri, start, stop)


def _bytes_hash(uri: str, start: int, stop: int | None) -> str:
    """Return the SHA-256 of a file's bytes from `start` up to `stop`, None: to its end."""
    content = hashlib.sha256()
    with open_file(uri) as source:
        source.seek(start)
        left = None if stop is None else stop - start
        while left != 0:
            data = source.read(_READ_BYTES if left is None else min(left, _READ_BYTES))
            if not data:
                break
            content.update(data)
            left = None if left is None else left - len(data)
    return content.hexdigest()

"""A listing cut into units: what one task reads, from one place, in one go.

Runs of 65,536 rows begin anew with every unit, so the cut is part of the outcome and depends on
the files alone: not on the number of CPUs, of nodes or of blocks.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from distrain.data.arrow_files import batch_bytes
from distrain.data.csv_text import has_split_records, is_byte_wise
from distrain.data.files import Listing, SourceFile, open_file
from distrain.data.numpy_files import row_group_sizes
from distrain.data.parquet_files import row_group_bytes
from distrain.data.reading import Piece, Reading, Unit

# Preparing 194 MiB of CSV on two cores took 4.6, 3.3 and 3.8 s with units of 64, 32 and 16 MiB, 153
# MiB took 4.4, 3.9 and 4.5 s (medians of 5): large ones leave a core idle at the end.
UNIT_BYTES: Final = 32 * 2**20
# How much larger things are in memory than as stored: text as numbers, compressed text.
_IN_MEMORY: Final = {"csv": 1.5, "tsv": 1.5, "parquet": 4.0, "arrow": 1.5, "npy": 1.5, "npz": 8.0}
_USUALLY_IN_MEMORY: Final = 1.0
_COMPRESSION_FACTOR: Final = 8
# Formats whose files are cut between groups of rows, by the sizes of these.
_GROUP_SIZES: Final[dict[str, Callable[[str], list[int]]]] = {
    "parquet": row_group_bytes,
    "arrow": batch_bytes,
    "npy": row_group_sizes,
}
GROUPED_FORMATS: Final = tuple(_GROUP_SIZES)
# A record is a line, whatever stands in it.
_LINE_FORMATS: Final = ("jsonl", "text")
_PROBE_BYTES: Final = 2**20


def cut_into_units(listing: Listing, reading: Reading, *, may_split: bool = True) -> list[Unit]:
    """Return the units of a listing, in the order of its rows.

    Args:
        listing: the files.
        reading: how they are read.
        may_split: whether large text files may be cut at line breaks; it turns out to be wrong for
            those whose quoted fields hold line breaks.
    """
    groups = list(_groups(listing, reading, may_split=may_split))
    return [
        Unit(number, pieces, is_read_in_passes, int(_memory(pieces, listing.format)))
        for number, (pieces, is_read_in_passes) in enumerate(groups)
    ]


def _groups(
    listing: Listing, reading: Reading, *, may_split: bool
) -> Iterator[tuple[tuple[Piece, ...], bool]]:
    numbered = [Piece(file, number) for number, file in enumerate(listing.files)]
    if listing.format in ("idx", "built-in"):
        yield tuple(numbered), False
        return
    together: list[Piece] = []
    size = 0
    for piece in numbered:
        weight = _weight(piece.file, listing.format)
        if together and size + weight > UNIT_BYTES:
            yield tuple(together), False
            together, size = [], 0
        if weight > UNIT_BYTES:
            yield from _cut_file(piece, reading, may_split=may_split)
        else:
            together.append(piece)
            size += weight
    if together:
        yield tuple(together), False


def _cut_file(
    piece: Piece, reading: Reading, *, may_split: bool
) -> Iterator[tuple[tuple[Piece, ...], bool]]:
    if reading.format in _GROUP_SIZES:
        bounds = _group_bounds(_GROUP_SIZES[reading.format](piece.file.uri))
    elif may_split and _can_split(piece.file, reading):
        bounds = [*range(0, piece.file.num_bytes, UNIT_BYTES), piece.file.num_bytes]
    else:
        yield (piece,), True
        return
    count = len(bounds) - 1
    for number, (start, stop) in enumerate(pairwise(bounds)):
        part = Piece(piece.file, piece.file_number, number, count, start, stop)
        yield (part,), False


def _group_bounds(groups: Sequence[int]) -> list[int]:
    bounds, size = [0], 0
    for group, num_bytes in enumerate(groups):
        if size and size + num_bytes > UNIT_BYTES:
            bounds.append(group)
            size = 0
        size += num_bytes
    return [*bounds, len(groups)]


def _can_split(file: SourceFile, reading: Reading) -> bool:
    """Return whether a text file's line breaks all seem to end records, judged by three probes."""
    if file.compression is not None or not is_byte_wise(reading.encoding):
        return False
    if reading.format not in ("csv", "tsv"):
        return reading.format in _LINE_FORMATS and (reading.is_by_line or reading.format == "jsonl")
    with open_file(file.uri) as source:
        for part in (0.0, 0.5, 1.0):
            source.seek(int(max(file.num_bytes - _PROBE_BYTES, 0) * part))
            probe = source.read(_PROBE_BYTES)
            first, last = probe.find(b"\n") + 1, probe.rfind(b"\n") + 1
            if not first or has_split_records(probe[0 if part == 0 else first : last]):
                return False
    return True


def _weight(file: SourceFile, format_: str) -> int:
    is_packed = file.compression is not None or format_ == "images"
    return file.num_bytes * (_COMPRESSION_FACTOR if is_packed else 1)


def _memory(pieces: tuple[Piece, ...], format_: str) -> float:
    shares = (_weight(piece.file, format_) / piece.count for piece in pieces)
    return sum(shares) * _IN_MEMORY.get(format_, _USUALLY_IN_MEMORY)

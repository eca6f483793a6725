"""A pair of IDX files, images and labels, as tables with the columns `image` and `label`.

Source: the format of the MNIST files (LeCun, Cortes, Burges): big-endian magic number and sizes,
then bytes.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import pyarrow as pa

from distrain.data.files import Listing, SourceFile, open_file
from distrain.data.reading import FileLog, Piece, Reading, Unit
from distrain.data.sniff import HEAD_BYTES, check_content
from distrain.data.text_files import HashingReader, decompressed, read_exactly
from distrain.errors import DataError

IMAGE_MAGIC: Final = 2051
LABEL_MAGIC: Final = 2049
COLUMNS: Final = ("image", "label")
_BATCH_ROWS: Final = 65_536
_MAX_COMPRESSION: Final = 200
_ANY_COMPRESSION_BYTES: Final = 64 << 20
"""Sorted labels come to more than the ratio; so little is read whatever it came from."""


@final
@dataclass(frozen=True)
class IdxHeader:
    """How many items a file says it has, and the shape of one."""

    num_items: int
    shape: tuple[int, ...]


def read_idx_unit(unit: Unit, reading: Reading, log: FileLog) -> Iterator[pa.Table]:
    """Yield the rows of a pair of files, in order; what was read is noted in `log`.

    Raises:
        DataError: a file ends before its header says, or goes on after.
    """
    images, labels = (
        _Items(piece, magic)
        for piece, magic in zip(unit.pieces, (IMAGE_MAGIC, LABEL_MAGIC), strict=True)
    )
    with images, labels:
        _check_pair(images.header, labels.header, images.file, labels.file)
        width = math.prod(images.header.shape)
        left = images.header.num_items
        while left:
            num_rows = min(left, _BATCH_ROWS)
            pixels = pa.array(np.frombuffer(images.take(num_rows), dtype=np.uint8))
            numbers = np.frombuffer(labels.take(num_rows), dtype=np.uint8).astype(np.int64)
            columns = {
                "image": pa.FixedSizeListArray.from_arrays(pixels, width),
                "label": pa.array(numbers),
            }
            yield pa.table({name: columns[name] for name in reading.wanted})
            left -= num_rows
        for items in (images, labels):
            items.finish(log)


def idx_headers(listing: Listing) -> tuple[IdxHeader, IdxHeader]:
    """Return the headers of both files.

    Raises:
        DataError: a magic number is wrong, or the numbers of images and labels differ.
    """
    headers = []
    for number, magic in enumerate((IMAGE_MAGIC, LABEL_MAGIC)):
        with _Items(Piece(listing.files[number], number), magic) as items:
            headers.append(items.header)
    images, labels = headers
    _check_pair(images, labels, *listing.files)
    return images, labels


@final
class _Items:
    """One IDX file, read front to back."""

    def __init__(self, piece: Piece, magic: int) -> None:
        self.file = piece.file
        self._piece = piece
        self._source = open_file(piece.file.uri)
        check_content(piece.file, self._source.read(HEAD_BYTES), "idx")
        self._source.seek(0)
        self._hashed = HashingReader(self._source)
        self._stream = decompressed(pa.PythonFile(self._hashed, mode="r"), piece.file.compression)
        self.header = _parse_header(read_exactly(self._stream, 4), self._stream, magic, self.file)
        self._item_bytes = math.prod(self.header.shape)
        _check_room(self.file, self.header)
        self._num_read = 0

    def __enter__(self) -> "_Items":
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def take(self, num_items: int) -> bytes:
        """Return the bytes of the next items."""
        data = read_exactly(self._stream, num_items * self._item_bytes)
        self._num_read += num_items
        if len(data) < num_items * self._item_bytes:
            raise _wrong_length(self.file, self.header, "the file ends early")
        return data

    def finish(self, log: FileLog) -> None:
        """Note the content; nothing may be left of it."""
        if read_exactly(self._stream, 1):
            raise _wrong_length(self.file, self.header, "the file goes on after its last item")
        log.add(self._piece, self._hashed.digest.hexdigest(), self._hashed.num_bytes)
        log.count_rows(self._piece, self._num_read)


def _parse_header(first: bytes, stream: pa.NativeFile, magic: int, file: SourceFile) -> IdxHeader:
    found = struct.unpack(">I", first)[0] if len(first) == 4 else None
    if found != magic:
        other = {IMAGE_MAGIC: "images", LABEL_MAGIC: "labels"}
        swapped = f" (those are {other[found]})" if found in other else ""
        raise DataError(
            f"the magic number is {found}{swapped}",
            where=file.uri,
            expected=f"{magic}, for {other[magic]}",
            mend="Name the right file under data.source.idx.",
        )
    num_sizes = magic % 256
    sizes = struct.unpack(
        f">{num_sizes}I", read_exactly(stream, 4 * num_sizes).ljust(12, b"\0")[: 4 * num_sizes]
    )
    return IdxHeader(sizes[0], tuple(sizes[1:]))


def _check_room(file: SourceFile, header: IdxHeader) -> None:
    """Refuse a header that claims more than the file can hold, before memory is taken for it."""
    num_bytes = header.num_items * math.prod(header.shape)
    most = file.num_bytes
    if file.compression:
        most = max(_ANY_COMPRESSION_BYTES, most * _MAX_COMPRESSION)
    if num_bytes > most:
        raise _wrong_length(file, header, f"the file has {file.num_bytes:,} bytes")


def _check_pair(
    images: IdxHeader, labels: IdxHeader, image_file: SourceFile, label_file: SourceFile
) -> None:
    if images.num_items != labels.num_items:
        raise DataError(
            f"{images.num_items:,} images stand beside {labels.num_items:,} labels",
            where=f"{image_file.uri} and {label_file.uri}",
            expected="one label for each image",
            mend="Name the two files of the same split.",
        )
    if not images.num_items or not all(images.shape):
        raise DataError(
            f"there are {images.num_items} images of shape {images.shape}",
            where=image_file.uri,
            expected="at least one image with at least one pixel",
            mend="Name another file.",
        )


def _wrong_length(file: SourceFile, header: IdxHeader, what: str) -> DataError:
    return DataError(
        what,
        where=file.uri,
        expected=f"{header.num_items:,} items of shape {header.shape}, as its header says",
        mend="Fetch the file again.",
    )

"""Whether a file's first bytes are what its name and the configuration say."""

from typing import Final

from distrain.data.files import SourceFile
from distrain.errors import DataError

_MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"PAR1": "parquet",
    b"PK\x03\x04": "zip (an Excel file is one)",
    b"ARROW1": "arrow",
    b"\x93NUMPY": "npy",
}
_MAGIC_OF_FORMAT: Final = {
    "parquet": "parquet",
    "arrow": "arrow",
    "npy": "npy",
    "npz": "zip (an Excel file is one)",
}
_ARROW_STREAM: Final = b"\xff\xff\xff\xff"
_ENDING: Final = {"gzip": ".gz", "zstd": ".zst", "bz2": ".bz2"}
_SHOWN_BYTES: Final = 15
HEAD_BYTES: Final = 64
"""So much of a file's beginning tells what it is."""
_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_MARKUP: Final = (b"<!doctype html", b"<html", b"<?xml")


def check_content(file: SourceFile, head: bytes, format_: str) -> None:
    """Compare the first bytes of a file, as stored, with what it should be.

    Args:
        file: the file; its extension says whether it is compressed.
        head: its first `HEAD_BYTES`, if it has so many.
        format_: what it should hold.

    Raises:
        DataError: it is something else.
    """
    if not head:
        return
    check_fetched(head, file.uri, is_text=format_ == "text")
    found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    wanted = file.compression or _MAGIC_OF_FORMAT.get(format_)
    is_stream = format_ == "arrow" and head.startswith(_ARROW_STREAM)
    if found == wanted or is_stream:
        return
    if found in _ENDING:
        mend = f"Give the file the extension {_ENDING[found]} after the other, or unpack it."
    elif found in ("parquet", "arrow", "npy"):
        mend = f"Set data.format to {found}, or give the file the extension .{found}."
    else:
        mend = "Name the right file, set data.format, or export the data as CSV or Parquet."
    raise DataError(
        f"the content is {found or f'no {file.compression or format_}'}",
        where=file.uri,
        expected=f"{wanted}, as its extension says" if file.compression else format_,
        mend=mend,
    )


def check_fetched(head: bytes, where: str, *, is_text: bool = False) -> None:
    """Refuse what stands in a file's place where the file itself was not fetched.

    Args:
        head: its first `HEAD_BYTES`, if it has so many.
        where: the file, for messages.
        is_text: whether it may be any text, web pages among them.

    Raises:
        DataError: it is a pointer of Git LFS, or what a web server answers.
    """
    if head.startswith(_LFS_POINTER):
        raise DataError(
            "this is a pointer of Git LFS, and the data is not here",
            where=where,
            expected="the data itself",
            mend="Fetch it: git lfs pull.",
        )
    if not is_text and head.lstrip().lower().startswith(_MARKUP):
        begins = head[:_SHOWN_BYTES].decode("latin-1")
        raise DataError(
            f"this is a web page or a server's answer: it begins {begins!r}",
            where=where,
            expected="the data itself",
            mend="Fetch it again, from an address that gives the file; it may want a login.",
        )


def check_text(text: bytes, file: SourceFile) -> None:
    """Raise a DataError if decoded text holds what no text does.

    Raises:
        DataError: there is a zero byte in it.
    """
    place = text.find(b"\0")
    if place >= 0:
        raise DataError(
            f"the content is binary: byte {place} is zero",
            where=file.uri,
            expected="text",
            mend="Name the right file, or set data.format or data.read.encoding (utf-16?).",
        )

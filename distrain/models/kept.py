"""Tensors, arrays and frames of what was handed over: bytes in files, mapped into memory.

A description lies below the storage, and so does each file of bytes, named by its content. They are
found from the code that asks for them, which lies there, too, or is a copy in a run's folder.
Mapped, they are read as they are needed, and processes on one machine share them; what a process
writes to them is its own.
"""

import ast
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch

from distrain.errors import DataError
from distrain.run_folder import GIVEN

_MAPPED_FILES: Final = 64

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@final
class Kept:
    """The folder that descriptions and bytes are kept in.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pack = ""

    @classmethod
    def above(cls, file: Path, sha256: str) -> "Kept":
        """Return the folder `given` of the storage that a file lies in.

        Args:
            file: the file.
            sha256: of the description that it has to hold.

        Raises:
            DataError: there is none.
        """
        for parent in file.absolute().parents:
            if (parent / GIVEN / f"{sha256}.json").is_file():
                return cls(parent / GIVEN)
        raise DataError(
            f"what was handed over from Python is not kept here any more ({sha256[:12]}...)",
            where=str(file),
            expected=f"{sha256}.json in the folder {GIVEN} of the storage that it lies in",
            mend="Put the folder back, or name the storage that it was handed to",
        )

    def description(self, sha256: str) -> dict[str, Any]:
        """Return a description: plain values by `root`, `objects`, `arrays` and so on."""
        text = (self._folder / f"{sha256}.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        self._pack = found["pack"]
        return found

    def bytes_at(self, place: list[Any]) -> Bytes:
        """Return bytes, `(length,)`.

        Args:
            place: the file's SHA-256, empty for the one that has all small ones, start and length.

        Raises:
            DataError: they are not there.
        """
        sha256, start, length = place
        if length == 0:
            return np.empty(0, dtype=np.uint8)
        return _mapped(str(self._folder / f"{sha256 or self._pack}.npy"))[start : start + length]


@lru_cache(maxsize=_MAPPED_FILES)
def _mapped(path: str) -> Bytes:
    try:
        # A view of another class costs time at each access of a row; "c": copied where written to.
        found: Bytes = np.load(path, mmap_mode="c", allow_pickle=False).view(np.ndarray)
        return found
    except (OSError, ValueError) as fault:
        raise DataError(
            f"an array that was handed over cannot be read ({fault})",
            where=path,
            expected="the file as it was kept",
            mend="Put it back, or hand the Dataset over again in a new run",
        ) from fault


def tensor_of(entry: Mapping[str, Any], stored: Bytes) -> torch.Tensor:
    """Return a tensor of these bytes; it shares their memory.

    Args:
        entry: `dtype` and `shape`.
        stored: its content.
    """
    dtype = getattr(torch, entry["dtype"])
    if not len(stored):
        return torch.empty(entry["shape"], dtype=dtype)
    return torch.from_numpy(stored).view(dtype).reshape(entry["shape"])


def array_of(
    entry: Mapping[str, Any], stored: Callable[[], Bytes], items: Callable[[], list[Any]]
) -> np.ndarray[Any, Any]:
    """Return an array, which shares the memory of its bytes.

    Args:
        entry: `dtype` and `shape`; and `path` and `offset` of one that is a mapped file.
        stored: gives its content.
        items: gives its items, where these are objects.
    """
    dtype, shape = dtype_of(entry["dtype"]), tuple(entry["shape"])
    if "path" in entry:
        mapped: Any = np.memmap
        made: np.ndarray[Any, Any] = mapped(entry["path"], dtype, "r", entry["offset"], shape)
        return made
    if "items" in entry:
        objects = np.empty(int(np.prod(shape)), dtype=object)
        for place, item in enumerate(items()):
            objects[place] = item
        return objects.reshape(shape)
    content = stored()
    return content.view(dtype).reshape(shape) if len(content) else np.empty(shape, dtype)


def dtype_of(text: str) -> np.dtype[Any]:
    """Return the type of an array's items from the text of its `.npy` description."""
    found: np.dtype[Any] = np.lib.format.descr_to_dtype(ast.literal_eval(text))
    return found


def frame_of(kind: str, stored: Bytes, columns: Mapping[int, list[Any]], labels: list[Any]) -> Any:
    """Return a frame, a series or an index of pandas.

    Args:
        kind: `frame`, `series` or `index`.
        stored: an Arrow stream of its columns but those of objects, with pandas' own notes.
        columns: the items of each column of objects, by its place.
        labels: the columns' labels, and the name that these have.
    """
    import pandas as pd
    import pyarrow as pa

    frame = pa.ipc.open_stream(pa.py_buffer(stored)).read_pandas()
    for place, items in sorted(columns.items()):
        frame.insert(place, str(place), pd.Series(items, index=frame.index, dtype=object))
    if kind == "frame":
        frame.columns = pd.Index(labels[0], name=labels[1])
        return frame
    column = frame.iloc[:, 0].rename(labels[1])
    return column if kind == "series" else pd.Index(column)

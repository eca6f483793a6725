"""The bytes of tensors, arrays and frames that are handed over, gathered, and written at last."""

import hashlib
from mmap import ALLOCATIONGRANULARITY
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch

from distrain.durable import replacing
from distrain.models.kept import Bytes

_OWN_FILE: Final = 1 << 20
_ALIGNMENT: Final = 64


@final
class Store:
    """Gathers bytes. Large ones get a file each, small ones a file together, named by content."""

    def __init__(self) -> None:
        self._files: dict[str, Bytes] = {}
        self._small = bytearray()

    def put(self, content: Bytes) -> list[Any]:
        """Take in bytes, `(length,)`, and return their place, as `Kept.bytes_at` takes it."""
        if len(content) >= _OWN_FILE:
            sha256 = hashlib.sha256(content.data).hexdigest()
            self._files[sha256] = content
            return [sha256, 0, len(content)]
        start = len(self._small)
        self._small += content.tobytes()
        self._small += bytes(-len(self._small) % _ALIGNMENT)
        return ["", start, len(content)]

    def array(self, array: np.ndarray[Any, Any]) -> dict[str, Any] | None:
        """Take in an array, and return its entry; of objects without these; None: it cannot be.

        One that is a mapped file stays in that.
        """
        entry: dict[str, Any] = {"shape": list(array.shape)}
        if array.dtype.hasobject:
            return entry | {"dtype": repr("|O")} if array.dtype == np.dtype(object) else None
        if array.dtype.kind not in "biufcMmSUV":
            return None
        entry["dtype"] = repr(np.lib.format.dtype_to_descr(array.dtype))
        mapped: Any = array
        offset = _offset_of(mapped)
        if offset is not None:
            return entry | {"path": str(Path(mapped.filename).absolute()), "offset": offset}
        flat = np.ascontiguousarray(array).reshape(-1)
        return entry | {"bytes": self.put(flat.view(np.uint8) if flat.nbytes else _EMPTY)}

    def pack(self) -> str:
        """Return the name of the file that has all small ones."""
        content = np.frombuffer(bytes(self._small), dtype=np.uint8)
        sha256 = hashlib.sha256(content.data).hexdigest()
        if len(content):
            self._files[sha256] = content
        return sha256

    def write(self, folder: Path) -> None:
        """Write what is not there yet."""
        for sha256, content in self._files.items():
            path = folder / f"{sha256}.npy"
            if path.is_file():
                continue
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, content, allow_pickle=False)


_EMPTY: Final = np.empty(0, dtype=np.uint8)


def bytes_of(tensor: torch.Tensor) -> Bytes:
    """Return the content of a tensor, which shares its memory where that is in order."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy()


def _offset_of(array: Any) -> int | None:
    """Return where in its file a mapped array begins, in bytes; None: it is none, or no run."""
    is_mapped = isinstance(array, np.memmap) and array.filename is not None and array.size
    if not is_mapped or not array.flags.c_contiguous:
        return None
    # A part of an array says that it begins where the whole does.
    below = array.ctypes.data - np.frombuffer(array._mmap, dtype=np.uint8).ctypes.data
    return int(below + array.offset - array.offset % ALLOCATIONGRANULARITY)

"""Writes tensors as safetensors while others compute: no copy, and the checksum on the way.

The format is that of safetensors, whose own functions read it: eight bytes for the length of a
JSON header, the header with each tensor's type, shape and place, the tensors one after another.

It takes half of the processor's time, which the workers need: 160 MB cost 0.18 s, where `save_file`
and hashing the file cost 0.40 s (safetensors 0.8.0, 2026-11-21).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from distrain.durable import sync_file

CHUNK_BYTES: Final = 4 * 2**20
HEADER_ALIGNMENT: Final = 8
_DTYPES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Write tensors, make the file durable, and return its `sha256` and `num_bytes`.

    Args:
        path: the file.
        tensors: by name, on any device.

    Raises:
        OSError: it cannot be written; what is there is torn.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # The widest first, so that each lies at a multiple of its own width.
    names = sorted(plain, key=lambda name: (-plain[name].element_size(), name))
    sha256 = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (_header(plain, names), *(_bytes_of(plain[name]) for name in names)):
            for start in range(0, len(piece), CHUNK_BYTES):
                chunk = piece[start : start + CHUNK_BYTES]
                sha256.update(chunk)
                file.write(chunk)
        num_bytes = file.tell()
    sync_file(path)
    return {"sha256": sha256.hexdigest(), "num_bytes": num_bytes}


def _header(tensors: Mapping[str, torch.Tensor], names: list[str]) -> memoryview:
    places, offset = {}, 0
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        places[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(places, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT)
    return memoryview(len(text).to_bytes(8, "little") + text)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data

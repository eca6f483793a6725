"""The fingerprint of a model's weights: the same bits, the same hash."""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import nn


def weights_sha256(weights: nn.Module | Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 (hex) of a state dict.

    Entries in the order of their names, each as its name in UTF-8, a zero byte, its dtype
    (`float32`), a zero byte, its shape as JSON (`[2,3]`), a zero byte, and its contiguous
    little-endian data.

    Args:
        weights: a module, or its state dict.
    """
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach()
        dtype = str(tensor.dtype).removeprefix("torch.")
        shape = json.dumps(list(tensor.shape), separators=(",", ":"))
        digest.update(f"{name}\0{dtype}\0{shape}\0".encode())
        digest.update(_little_endian(tensor))
    return digest.hexdigest()


def _little_endian(tensor: torch.Tensor) -> bytes:
    # All platforms that torch runs on are little-endian; bytes work for dtypes numpy lacks.
    flat = tensor.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()

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


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors of one type have the same shape and bits; nan is like nan."""
    return one.shape == other.shape and torch.equal(_bits(one), _bits(other))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def _little_endian(tensor: torch.Tensor) -> bytes:
    # All platforms that torch runs on are little-endian; bytes work for dtypes numpy lacks.
    flat = tensor.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()

"""Batches on their way out of a reading process: their tensors in one piece of shared memory.

A tensor that goes through DataLoader's queue costs a file descriptor, handed over through a socket,
on both sides some 0.1 ms. A step has as many batches as the worker has parts, with two tensors each
or more; together they are one.
"""

from dataclasses import dataclass
from typing import Any, final

import torch

from distrain.data.tensors import ALIGNMENT, each


@final
@dataclass(frozen=True)
class _Place:
    """Where a tensor lies.

    Attributes:
        start: first byte.
        stop: the byte after the last.
        dtype: of the tensor.
        shape: of the tensor.
        stride: of the tensor, in items.
    """

    start: int
    stop: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def of(self, memory: torch.Tensor) -> torch.Tensor:
        """Return the tensor at this place of some memory, which it shares."""
        flat = memory[self.start : self.stop].view(self.dtype)
        return flat.as_strided(self.shape, self.stride)


@final
@dataclass(frozen=True)
class Packed:
    """Batches whose tensors lie in one piece of memory.

    Args:
        batches: with a `_Place` where a tensor is.
        memory: uint8, `(bytes,)`.
    """

    batches: Any
    memory: torch.Tensor

    def pin_memory(self) -> "Packed":
        """Return the same in pinned memory; DataLoader asks for it."""
        return Packed(self.batches, self.memory.pin_memory())

    def unpacked(self) -> Any:
        """Return the batches; their tensors are parts of the memory."""
        return each(self.batches, _Place, lambda place: place.of(self.memory))


def packed(batches: Any) -> Packed:
    """Return batches with their tensors, as they lie, in memory that processes share.

    Those stay by themselves that are no plain tensors: on another device, sparse, with gaps.

    Args:
        batches: tuples, lists and dicts of whatever there is.
    """
    tensors: list[tuple[torch.Tensor, _Place]] = []

    def placed(tensor: torch.Tensor) -> torch.Tensor | _Place:
        if not _is_plain(tensor):
            return tensor
        start = _aligned(tensors[-1][1].stop) if tensors else 0
        stop = start + tensor.numel() * tensor.element_size()
        place = _Place(start, stop, tensor.dtype, tuple(tensor.shape), tensor.stride())
        tensors.append((tensor, place))
        return place

    outline = each(batches, torch.Tensor, placed)
    num_bytes = tensors[-1][1].stop if tensors else 0
    memory = torch.empty(num_bytes, dtype=torch.uint8)
    memory.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it without
    for tensor, place in tensors:
        place.of(memory).copy_(tensor)
    return Packed(outline, memory)


def _is_plain(tensor: torch.Tensor) -> bool:
    is_usual = type(tensor) is torch.Tensor and tensor.layout is torch.strided
    if not is_usual or tensor.device.type != "cpu" or tensor.requires_grad:
        return False
    is_as_stored = not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
    return is_as_stored and (tensor.is_contiguous() or _is_dense(tensor))


def _is_dense(tensor: torch.Tensor) -> bool:
    """Return whether a tensor fills its memory, in whatever order of its dimensions."""
    return torch.empty_like(tensor, device="meta").stride() == tensor.stride()


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT

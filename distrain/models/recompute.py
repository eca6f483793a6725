"""Activation checkpointing: a block keeps its input alone, and runs again in the backward pass.

It costs about a third more computing, and saves the memory of what lies between the blocks' inputs.
The bits stay what they are without it: the second run of a block sees the random numbers and the
buffers of the first one, and what it does to them is undone. (`torch.utils.checkpoint` takes care
of the random numbers alone; batch norm's running values would move twice.)
"""

import contextlib
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from distrain.errors import ModelError


def recompute_blocks(model: nn.Module) -> None:
    """Make the blocks of a model run again in the backward pass.

    The names of parameters and buffers stay what they are.

    Args:
        model: changed in place.

    Raises:
        ModelError: it has no blocks.
    """
    found = [block for block in blocks(model) if any(p.requires_grad for p in block.parameters())]
    if not found:
        raise ModelError(
            f"model {type(model).__name__} has no blocks to run again",
            where="train.activation_checkpointing",
            expected="an nn.Sequential or an nn.ModuleList of layers with parameters",
            mend="Keep the model's repeated layers in an nn.ModuleList, or leave it out",
        )
    for block in found:
        # The module's own __call__ finds this before the class's method.
        block.forward = _Recomputed(block)


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Give the outermost members of `nn.Sequential` and `nn.ModuleList` that have parameters."""
    for child in module.children():
        is_member = isinstance(module, nn.Sequential | nn.ModuleList)
        if not is_member or isinstance(child, nn.ModuleList | nn.ModuleDict):  # it has no forward
            yield from blocks(child)
        elif any(True for _ in child.parameters()):
            yield child


@final
class _Recomputed:
    """The forward of a block, run again in the backward pass where one will come."""

    def __init__(self, block: nn.Module) -> None:
        self._block = block
        self._forward = block.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._block.training and torch.is_grad_enabled()):
            return self._forward(*args, **kwargs)
        before = [(buffer, buffer.clone()) for buffer in self._block.buffers()]
        return checkpoint(
            self._forward,
            *args,
            use_reentrant=False,
            context_fn=lambda: (contextlib.nullcontext(), _as_before(before)),
            **kwargs,
        )


@contextlib.contextmanager
def _as_before(before: list[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[None]:
    """Give buffers their values of before the first run; at the end, those of after it."""
    after = [buffer.clone() for buffer, _ in before]
    # Through `data`, since autograd holds that what it saved must not have been written to since;
    # here it is put back to what it was. (Batch norm's own writes go unseen by `_version`.)
    for buffer, old in before:
        buffer.data.copy_(old)
    try:
        yield
    finally:
        for (buffer, _), value in zip(before, after, strict=True):
            buffer.data.copy_(value)

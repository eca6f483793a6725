"""Batches in one piece of memory."""

from typing import Any, NamedTuple

import pytest
import torch

from distrain.data.own.batches import same_values
from distrain.data.own.packing import packed
from distrain.data.tensors import ALIGNMENT


class Pair(NamedTuple):
    left: Any
    right: Any


BATCHES = [
    torch.arange(6.0).reshape(2, 3),
    [(torch.zeros(3, 5), torch.tensor([1, 2, 3])), (torch.ones(1, 5), torch.tensor([4]))],
    {"x": torch.tensor([True, False]), "name": ["a", "b"], "none": None},
    Pair(torch.zeros(2, dtype=torch.complex64), torch.zeros(3, dtype=torch.bfloat16)),
    [torch.tensor(3.5), torch.zeros(0, 4), torch.arange(5, dtype=torch.uint8)],
    torch.rand(2, 4, 4, 3).permute(0, 3, 1, 2),
    torch.zeros(0),
    "text",
]


@pytest.mark.parametrize("batches", BATCHES)
def test_batches_come_out_as_they_went_in(batches: Any) -> None:
    one = packed(batches)
    out = one.unpacked()
    assert type(out) is type(batches)
    assert same_values(out, batches)
    assert one.memory.is_shared()


def test_each_tensor_has_its_type_and_order_in_memory_and_is_aligned() -> None:
    last = torch.rand(2, 4, 4, 3).permute(0, 3, 1, 2)
    out = packed([torch.zeros(3, dtype=torch.int8), last]).unpacked()[1]
    assert (out.dtype, out.stride()) == (last.dtype, last.stride())
    assert out.data_ptr() % ALIGNMENT == 0


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, requires_grad=True),
        torch.eye(2).to_sparse(),
        torch.zeros(1).expand(4),
        torch.zeros(2, 4)[:, ::2],
        torch.nn.Parameter(torch.zeros(2)),
        torch.zeros(2, dtype=torch.complex64).conj(),
    ],
)
def test_what_is_no_plain_tensor_stays_by_itself(tensor: torch.Tensor) -> None:
    assert packed([tensor]).unpacked()[0] is tensor

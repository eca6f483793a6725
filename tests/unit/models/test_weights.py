"""The fingerprint of weights."""

import hashlib
import math

import pytest
import torch
from torch import nn

from distrain.models.weights import same_bits, weights_sha256


def test_the_hash_is_over_names_dtypes_shapes_and_bytes_in_order_of_names() -> None:
    state = {
        "b": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        "a": torch.tensor(3),
    }
    expected = hashlib.sha256(
        b"a\0int64\0[]\0"
        + (3).to_bytes(8, "little")
        + b"b\0float32\0[2,3]\0"
        + state["b"].numpy().astype("<f4").tobytes()
    ).hexdigest()
    assert weights_sha256(state) == expected


def test_a_module_and_its_state_dict_have_one_hash() -> None:
    module = nn.BatchNorm1d(3)
    assert weights_sha256(module) == weights_sha256(module.state_dict())


def test_layout_in_memory_does_not_matter() -> None:
    values = torch.arange(6.0).view(2, 3)
    assert weights_sha256({"w": values}) == weights_sha256({"w": values.t().contiguous().t()})


def test_a_single_bit_matters() -> None:
    assert weights_sha256({"w": torch.tensor([0.0])}) != weights_sha256({"w": torch.tensor([-0.0])})


def test_bfloat16_has_a_hash() -> None:
    assert len(weights_sha256({"w": torch.ones(2, dtype=torch.bfloat16)})) == 64


@pytest.mark.parametrize(
    ("other", "is_same"),
    [([1.0, math.nan, 0.0], True), ([1.0, math.nan, -0.0], False), ([1.0, math.nan], False)],
)
def test_bits_are_compared_and_not_numbers(other: list[float], is_same: bool) -> None:
    assert same_bits(torch.tensor([1.0, math.nan, 0.0]), torch.tensor(other)) is is_same

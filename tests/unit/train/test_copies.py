"""Copies of tensors in memory that is kept."""

import torch

from distrain.train.copies import Copies


def test_copies_keep_their_memory_and_their_values() -> None:
    copies = Copies()
    source = {"a": torch.arange(3.0), "b": torch.tensor(7)}
    first = copies.of(source)
    source["a"].zero_()
    assert first["a"].tolist() == [0.0, 1.0, 2.0]
    second = copies.of(source)
    assert second["a"].tolist() == [0.0, 0.0, 0.0]
    assert second["a"].data_ptr() == first["a"].data_ptr()

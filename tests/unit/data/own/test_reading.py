"""Rows that are read one by one, each with random numbers of its own."""

from typing import Any

import numpy as np
import pytest
import torch

from distrain.data.own.reading import KeyedReader, read
from distrain.data.own.split import OwnSplit, Portion
from distrain.errors import DataError
from tests.user_code import own_datasets


def reader(name: str, seed: int = 5, **args: Any) -> KeyedReader:
    return KeyedReader(getattr(own_datasets, name)(**args), None, seed, name)


def batch(own: KeyedReader, *numbers: int, epoch: str = "0") -> torch.Tensor:
    [(x, _)] = read(own, epoch, [np.array(numbers)])
    assert isinstance(x, torch.Tensor)
    return x


@pytest.mark.parametrize("name", ["Noisy", "SometimesNoisy", "Plain"])
def test_a_row_is_the_same_whoever_reads_it_and_beside_whom(name: str) -> None:
    together = batch(reader(name), *range(30))
    own = reader(name)
    alone = [batch(own, number)[0] for number in reversed(range(30))]

    assert torch.equal(together, torch.stack(alone[::-1]))


@pytest.mark.parametrize(("seed", "epoch"), [(5, "1"), (6, "0")])
def test_each_epoch_and_seed_draws_other_numbers(seed: int, epoch: str) -> None:
    one, other = batch(reader("Noisy"), 1, 2), batch(reader("Noisy", seed), 1, 2, epoch=epoch)

    assert not torch.equal(one, other)


def test_rows_of_a_dataset_draw_other_numbers_each() -> None:
    noise = batch(reader("Noisy"), *range(0, 60, 3)) - torch.from_numpy(
        own_datasets.Noisy().x[0:60:3]
    )

    assert len({tuple(row.tolist()) for row in noise}) == 20


def test_processes_read_what_the_worker_reads_by_itself() -> None:
    def rows(num_processes: int) -> list[Any]:
        split = OwnSplit(
            Portion(0, 60, 60, "order"),
            lambda: reader("Noisy"),
            None,
            row_bytes=24,
            num_processes=num_processes,
        )
        return list(split.batches([(0, 32), (32, 60)]))

    alone, ahead = rows(0), rows(2)

    assert all(torch.equal(one[0], other[0]) for one, other in zip(alone, ahead, strict=True))


@pytest.mark.parametrize("num_processes", [0, 2])
def test_what_a_row_raises_is_told_with_its_number(
    num_processes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    split = OwnSplit(
        Portion(0, 60, 60, None),
        lambda: reader("Broken", row=40),
        None,
        row_bytes=24,
        num_processes=num_processes,
    )

    with pytest.raises(DataError, match=r"Broken, row 40: .* raised OSError: photo-40\.png"):
        list(split.batches([(0, 32), (32, 60)]))
    assert "OSError: photo-40.png is truncated" in capfd.readouterr().err

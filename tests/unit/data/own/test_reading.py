"""Rows that are read one by one, each with random numbers of its own."""

import multiprocessing
from pathlib import Path
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


@pytest.mark.parametrize("name", ["Noisy", "SometimesNoisy", "Mixed", "AtOnceNoisy", "Plain"])
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
    def batches(num_processes: int) -> list[torch.Tensor]:
        split = OwnSplit(
            Portion(0, 60, 60, "order"),
            lambda: reader("Noisy"),
            None,
            row_bytes=24,
            num_processes=num_processes,
        )
        return [x for x, _ in split.batches([(0, 32), (32, 60)])]

    for one, other in zip(batches(0), batches(2), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["Broken", "BrokenAtOnce"])
@pytest.mark.parametrize("num_processes", [0, 2])
def test_what_a_row_raises_is_told_with_its_number_and_the_line(
    num_processes: int, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    split = OwnSplit(
        Portion(0, 60, 60, None),
        lambda: reader(name, row=40),
        None,
        row_bytes=24,
        num_processes=num_processes,
    )
    source = Path(own_datasets.__file__)
    line = source.read_text(encoding="utf-8").split("raise OSError")[0].count("\n") + 1

    with pytest.raises(DataError) as told:
        list(split.batches([(0, 32), (32, 60)]))
    assert f"raised OSError: photo-40.png is truncated ({source}:{line})" in str(told.value)
    assert told.value.where == f"{name}, row 40"
    assert "OSError: photo-40.png is truncated" in capfd.readouterr().err
    assert not multiprocessing.active_children()


def fate(*numbers: int) -> int | None:
    """Return the first of some rows that raises, where a new reader reads them together."""
    try:
        batch(reader("Unlucky"), *numbers)
    except DataError as fault:
        return int(fault.where.rpartition(" ")[2])
    return None


def test_whether_a_row_raises_depends_on_its_own_random_numbers_alone() -> None:
    alone = [number for number in range(60) if fate(number) is not None]

    together = [fate(*range(start, start + 6)) for start in range(0, 60, 6)]

    assert 3 <= len(alone) <= 20
    assert together == [
        next((number for number in alone if start <= number < start + 6), None)
        for start in range(0, 60, 6)
    ]


def test_rows_that_draw_nothing_are_read_in_one_call_where_there_is_one() -> None:
    dataset = own_datasets.AtOnce()
    own = KeyedReader(dataset, None, 5, "AtOnce")

    [(x, _), (last, _)] = read(own, "0", [np.array([3, 1]), np.array([7])])

    assert torch.equal(torch.cat([x, last]), torch.from_numpy(dataset.x[[3, 1, 7]]))
    assert dataset.calls == 2


def test_one_call_for_several_rows_has_to_give_them_all() -> None:
    told = r"__getitems__\(\[3, 1\]\) returned 1 items. Expected a list of 2 items"
    with pytest.raises(DataError, match=told):
        batch(reader("AtOnceAllButOne"), 3, 1)


def test_a_dataset_around_another_is_asked_itself() -> None:
    around = own_datasets.Around()

    assert torch.equal(batch(reader("Around"), 2)[0], torch.from_numpy(around.inner.x[2] + 1))


def test_of_an_installed_dataset_the_line_that_was_asked_is_told() -> None:
    installed = torch.utils.data.TensorDataset(torch.zeros(3))

    with pytest.raises(DataError, match=r"IndexError: .* \(.*torch.utils.data.dataset\.py:\d+\)"):
        read(KeyedReader(installed, None, 5, "Installed"), "0", [np.array([4])])

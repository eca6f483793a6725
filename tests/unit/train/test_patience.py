"""What rank zero's storage takes long over: the others wait, and no exchange ends it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distrain.train import patience
from distrain.train.patience import await_all, on_rank_zero
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified
from tests.training_group import Group, train_in_groups

ALONE = World.single("cpu")
FIRST = World(2, 0, device="cpu", collective_timeout_s=0.05)
SECOND = World(2, 1, device="cpu", collective_timeout_s=0.05)


def answering(monkeypatch: pytest.MonkeyPatch, others: list[list[int]]) -> None:
    """Let the other worker say, one exchange after the other, who is done; then the last again."""

    def sum_counts(counts: Any, _world: World) -> Any:
        return counts + np.array(others.pop(0) if len(others) > 1 else others[0])

    monkeypatch.setattr(patience, "sum_counts", sum_counts)


def failing() -> None:
    raise OSError("no room")


def test_one_worker_does_it_by_itself() -> None:
    assert on_rank_zero(lambda: 7, ALONE) == 7
    with pytest.raises(OSError, match="no room"):
        on_rank_zero(failing, ALONE)


def test_rank_zero_gets_what_it_did_and_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, [[0, 1]])
    assert on_rank_zero(lambda: 7, FIRST) == 7
    answering(monkeypatch, [[0, 0], [0, 0], [1, 0]])
    assert on_rank_zero(failing, SECOND) is None


def test_what_fails_on_rank_zero_is_raised_there_before_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, [])
    with pytest.raises(OSError, match="no room"):
        on_rank_zero(failing, FIRST)


def test_storage_that_hangs_ends_the_wait_with_who_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, [[0, 0]])
    with pytest.raises(TimeoutError, match=r"kept rank 0 for 10 times .*_timeout_s = 0\.05 s"):
        await_all(lambda _: True, SECOND)


def test_one_worker_waits_for_as_long_as_it_takes() -> None:
    answers = iter([False] * 30 + [True])
    world = World(device="cpu", collective_timeout_s=1e-9)
    await_all(lambda _: next(answers), world)
    assert list(answers) == []


@pytest.mark.slow
def test_storage_slower_than_an_exchange_may_be_neither_ends_a_run_nor_its_resume(
    tmp_path: Path,
) -> None:
    data = write_classified(tmp_path / "data", {"train": 123, "validation": 40})
    job_of: Callable[..., Any] = job_maker(tmp_path, data)
    straight = Group(2, [job_of("straight")])
    slow = Group(2, [job_of()], timeout_s=2.0, storage_s=2.5)
    groups = [straight, replace(slow, answers=["pause"]), slow]

    (whole,), (paused,), (resumed,) = train_in_groups(groups, tmp_path)

    assert [outcome["status"] for outcome in paused] == ["interrupted"] * 2
    assert [outcome["status"] for outcome in resumed] == ["finished"] * 2
    assert resumed[0]["resumed_from_step"] == paused[0]["step"]
    assert resumed[0]["weights_sha256"] == whole[0]["weights_sha256"]

"""What a worker that fails alone leaves behind, and whose attempt that is of."""

import os
from pathlib import Path
from typing import Any, NoReturn

import pytest

from distrain.train.beat import LOG_FOLDER
from distrain.train.faults import remove_failures
from distrain.tune import peers
from distrain.tune.crew import failures_of

COMMON: dict[str, Any] = {"num_workers": 2, "reserved": "1 CPU", "has_gpu": False}


class LeftError(Exception):
    """The process has ended."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def leave(_code: int) -> NoReturn:
        raise LeftError

    monkeypatch.setattr(os, "_exit", leave)
    (tmp_path / "0003" / LOG_FOLDER).mkdir(parents=True)
    return tmp_path / "0003"


def fail(folder: Path, attempt: int) -> None:
    with pytest.raises(LeftError):
        peers._leave(ValueError("no such layer"), folder, 1, attempt, COMMON)


def test_a_failure_is_left_with_its_rank_and_attempt(folder: Path) -> None:
    fail(folder, attempt=2)

    (left,) = failures_of(folder, 2)
    assert (left["rank"], left["attempt"], left["cause"]) == (1, 2, "user")
    assert left["message"] == "ValueError: no such layer"


def test_what_a_peer_of_an_earlier_attempt_leaves_late_is_not_of_this_one(folder: Path) -> None:
    fail(folder, attempt=1)

    assert failures_of(folder, 2) == []


def test_what_a_peer_of_an_earlier_attempt_leaves_late_takes_nothing_away(folder: Path) -> None:
    fail(folder, attempt=2)
    left = failures_of(folder, 2)

    fail(folder, attempt=1)

    assert failures_of(folder, 2) == left != []


def test_what_is_left_is_removed_before_the_next_attempt(folder: Path) -> None:
    fail(folder, attempt=1)

    remove_failures(folder)

    assert failures_of(folder, 1) == []

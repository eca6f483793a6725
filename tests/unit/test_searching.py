"""What becomes of a search whose disk is full at its end."""

import errno
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain import searching
from distrain.display import NoDisplay
from distrain.errors import DistrainError, TrainError
from distrain.tune.trials import Outcome, Trial


@pytest.mark.parametrize(
    ("why_failed", "told"),
    [
        (None, "how the run ended cannot be written .*No space left.*Make room there"),
        (TrainError("none of 3 trials came to its end"), "none of 3 trials"),
    ],
)
def test_an_end_that_the_disk_does_not_take_is_told_as_the_disk_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why_failed: DistrainError | None, told: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tags: dict[str, str] = {}
    record = SimpleNamespace(
        backlog=SimpleNamespace(count=lambda: 0),
        journal=SimpleNamespace(tags=tags.update),
        facts=None,  # so that its story cannot be told at the beginning either
    )
    monkeypatch.setattr(searching, "begun_record", lambda _: nullcontext(record))
    monkeypatch.setattr(searching, "Space", SimpleNamespace(of=lambda _: None))
    monkeypatch.setattr(searching, "_ending", lambda *_: SimpleNamespace(error=why_failed))
    monkeypatch.setattr(searching.lease, "check", lambda *_: None)
    monkeypatch.setattr(searching, "_record_end", full)
    run: Any = SimpleNamespace(
        run_dir=tmp_path,
        settings=None,
        job=SimpleNamespace(fence=1),
        prepared=SimpleNamespace(dataset=None),
        code_folders=[],
        line=None,
    )
    places: Any = SimpleNamespace(trials=None)

    with pytest.raises(TrainError, match=told):
        searching.finish_search(run, places, NoDisplay())
    assert tags["mlflow.note.content"].startswith("### Searching\n\nNo more could be told")


def test_the_mean_of_a_setting_is_told_with_the_seeds_that_came_to_a_model() -> None:
    outcomes: tuple[Outcome, ...] = ("finished", "failed", "stopped_early")
    trials = [
        Trial(number, {}, state="ended", outcome=outcome) for number, outcome in enumerate(outcomes)
    ]
    search: Any = SimpleNamespace(plan=SimpleNamespace(num_seeds=3), trials=trials, best_value=0.75)

    told = searching._best(search, trials[0], None)

    assert (told["mean"], told["num_seeds"]) == (0.75, 2)


def test_what_a_killed_driver_left_of_a_winner_is_not_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []
    monkeypatch.setattr(searching, "sync", lambda runs, *_, **__: named.extend(runs))
    search, begun, left = (tmp_path / "name" / run for run in ("s", "s-0003", "s-0007"))
    for folder in (search, begun, left):
        folder.mkdir(parents=True)
    for folder in (search, begun):
        (folder / "config.yaml").touch()

    searching.ship_search(search, NoDisplay().note)

    assert named == [str(search), str(begun)]

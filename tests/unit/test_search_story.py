"""When the trials of a search were stopped, in words that add up."""

import pytest

from distrain.search_story import stops_text


@pytest.mark.parametrize(
    ("num_stopped", "rungs", "told"),
    [
        (3, {}, "budget spent"),
        (3, {1: 2, 4: 1}, "lost against others, at epoch 1: 2, epoch 4: 1"),
        (5, {1: 2, 4: 1}, "lost against others, at epoch 1: 2, epoch 4: 1; 2 with the budget"),
    ],
)
def test_when_trials_were_stopped_adds_up(
    num_stopped: int, rungs: dict[int, int], told: str
) -> None:
    assert stops_text(num_stopped, rungs, "epoch") == told


def test_of_many_rungs_the_last_are_told_together() -> None:
    told = stops_text(23, dict.fromkeys(range(1, 12), 2), "epoch")

    assert told.endswith("epoch 8: 2, later: 6 further; 1 with the budget")

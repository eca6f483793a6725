"""Where the time of a run went: parts without a gap, whatever became of it."""

import pytest

from distrain.past.clock import TimeSplit, split_time
from distrain.past.story import AttemptStory, SessionStory, Story

EPOCHS = {"data": 1.0, "compute": 6.0, "reduce": 1.5, "record": 0.5, "evaluate": 0.5}


def attempt(asked_s: float, num_workers: int = 2, **told: float | None) -> AttemptStory:
    """An attempt whose times are in seconds."""
    made = AttemptStory(round(asked_s * 1000), num_workers)
    for name, seconds in told.items():
        setattr(made, name, None if seconds is None else round(seconds * 1000))
    return made


def finished() -> Story:
    """Ready in 3 s, began at 100 s, trained from 105 s to 115 s, over at 120 s."""
    only = attempt(101, began_ms=105, told_ms=115, saved_ms=115.5, assessed_ms=117, last_ms=117)
    only.phases |= EPOCHS
    session = SessionStory(100_000, 3.0, trained_ms=118_000, ended_ms=120_000)
    return Story(sessions=[session], attempts=[only], last_ms=120_000)


def parts(split: TimeSplit) -> dict[str, float]:
    return {part.key: round(part.wall_s, 6) for part in split.parts}


def test_the_parts_of_a_finished_run_add_up_to_its_wall_time() -> None:
    split = split_time(finished())

    assert split.wall_s == pytest.approx(23.0)
    assert parts(split) == {
        "ready": 4.0,
        "start": 4.0,
        "data": 1.0,
        "compute": 6.0,
        "reduce": 1.5,
        "record": 0.5,
        "evaluate": 2.0,
        "checkpoint": 0.5,
        "leave": 1.0,
        "package": 2.0,
        "other": 0.5,
    }
    assert sum(part.wall_s for part in split.parts) == pytest.approx(split.wall_s)
    assert split.worker_s == pytest.approx(2 * split.wall_s)


def test_a_run_without_a_test_split_leaves_after_its_last_checkpoint() -> None:
    story = finished()
    story.attempts[0].assessed_ms, story.attempts[0].last_ms = None, 115_500

    split = split_time(story)

    assert parts(split)["leave"] == pytest.approx(2.5)
    assert sum(part.wall_s for part in split.parts) == pytest.approx(split.wall_s)


def test_an_attempt_counts_as_often_as_it_had_workers() -> None:
    story = finished()
    story.attempts.insert(0, attempt(100.5, 3, began_ms=100.8, told_ms=None, last_ms=100.9))

    split = split_time(story)

    assert sum(part.wall_s for part in split.parts) == pytest.approx(split.wall_s)
    assert split.worker_s == pytest.approx(2 * split.wall_s + 3.5 + 0.5)


def test_what_was_cut_off_before_it_was_told_is_split_as_far_as_it_was_shown() -> None:
    lost = attempt(101, began_ms=103, told_ms=None, last_ms=110)
    lost.untold |= {"data": 2.0, "reduce": 1.0}
    session = SessionStory(100_000, 0.0, ended_ms=112_000)

    split = split_time(Story(sessions=[session], attempts=[lost], last_ms=112_000))

    assert parts(split) == {
        "ready": 1.0,
        "start": 2.0,
        "data": 2.0,
        "reduce": 1.0,
        "unsplit": 4.0,
        "leave": 2.0,
    }


def test_time_in_which_nobody_drove_the_run_is_no_part_of_it() -> None:
    story = finished()
    story.sessions.insert(0, SessionStory(10_000, 0.0, ended_ms=20_000))

    split = split_time(story)

    assert split.wall_s == pytest.approx(33.0)
    assert split.between_s == pytest.approx(77.0)
    assert sum(part.wall_s for part in split.parts) == pytest.approx(split.wall_s)


def test_a_driver_that_was_killed_was_over_with_its_workers_last_word() -> None:
    story = finished()
    story.sessions[0].ended_ms = story.sessions[0].trained_ms = None
    story.sessions.append(SessionStory(500_000, 1.0, ended_ms=501_000))

    split = split_time(story)

    assert split.wall_s == pytest.approx(3 + 17 + 2)
    assert sum(part.wall_s for part in split.parts) == pytest.approx(split.wall_s)


def test_a_run_that_goes_on_is_counted_until_now() -> None:
    story = finished()
    story.sessions[0].ended_ms = story.sessions[0].trained_ms = None

    assert split_time(story, until_ms=130_000).wall_s == pytest.approx(33.0)


def test_a_run_that_never_came_to_an_attempt_was_getting_ready() -> None:
    story = Story(sessions=[SessionStory(1_000, 2.0, ended_ms=3_000)], last_ms=3_000)

    assert parts(split_time(story)) == {"ready": 4.0}


def test_no_journal_has_no_time() -> None:
    assert split_time(Story()) == TimeSplit(0.0, 0.0, (), 0.0)

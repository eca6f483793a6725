"""What a run's journal tells."""

import time
from pathlib import Path

from distrain.past.clock import split_time
from distrain.past.story import read_outline, read_story
from distrain.track.journal import JournalWriter
from tests.reported_run import ASSESSMENT, write_run


def test_a_journal_tells_values_attempts_and_what_was_found_wrong(tmp_path: Path) -> None:
    story = read_story(write_run(tmp_path / "pets" / "r") / "journal")

    assert story.points("validation/loss") == [(10, 0.5), (20, 0.3125), (30, 0.375)]
    assert story.last("test/accuracy") == 0.85
    assert story.last_step == 30
    assert story.assessments == {"test": ASSESSMENT}
    assert [note.text for note in story.notes] == ["something that the user was told"]
    assert story.tags["mlflow.user"] == "ada"
    [session] = story.sessions
    assert session.ready_s == 2.0
    assert session.trained_ms is not None
    [attempt] = story.attempts
    assert (attempt.num_workers, attempt.from_step) == (2, 0)
    assert attempt.phases["compute"] == 4.5
    assert attempt.phases["data"] == 0.75
    assert attempt.assessed_ms is not None
    assert [value for _, value in story.system["system/node_0/cpu_utilization_percentage"]] == [
        40.0,
        60.0,
    ]


def test_of_a_step_that_is_computed_again_the_first_value_stands(tmp_path: Path) -> None:
    for losses, step in (((1.0, 2.0, 3.0), 0), ((30.0, 40.0), 2)):
        with JournalWriter(tmp_path, "rank0") as rank_zero:
            rank_zero.start(step, is_exact=True, every_steps=1)
            for number, loss in enumerate(losses, start=step + 1):
                rank_zero.metrics(number, {"train/loss": loss})

    assert read_story(tmp_path).points("train/loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]


def test_where_bits_may_differ_what_came_after_a_checkpoint_is_void(tmp_path: Path) -> None:
    for losses, step in (((1.0, 2.0, 3.0), 0), ((30.0, 40.0), 2)):
        with JournalWriter(tmp_path, "rank0") as rank_zero:
            rank_zero.start(step, is_exact=False, every_steps=1)
            for number, loss in enumerate(losses, start=step + 1):
                rank_zero.metrics(number, {"train/loss": loss})

    assert read_story(tmp_path).points("train/loss") == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


def test_what_was_shown_since_an_epoch_was_told_is_kept(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "attempts") as attempts:
        attempts.tags({"distrain.workers_by_attempt": "2, 3"})
    with JournalWriter(tmp_path, "rank0") as rank_zero:
        rank_zero.start(0, is_exact=True, every_steps=1)
        rank_zero.progress({"step": 1, "data_s": 9.0, "reduce_s": 9.0})
        rank_zero.metrics(2, {"time/data_s": 1.0})
        rank_zero.progress({"step": 3, "data_s": 0.5, "reduce_s": 0.25})
        rank_zero.checkpoint(3)

    [attempt] = read_story(tmp_path).attempts
    assert attempt.num_workers == 3
    assert attempt.untold == {"data": 0.5, "reduce": 0.25}
    assert attempt.saved_ms is not None


def test_no_journal_tells_nothing(tmp_path: Path) -> None:
    story = read_story(tmp_path / "none")

    assert (story.metrics, story.last_step, story.last_ms) == ({}, 0, 0)


def test_a_run_that_was_closed_later_took_as_long_as_it_ran(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "driver") as driver:
        driver.run({"key": "a/b", "tags": {"a": "1"}})
        driver.store("storage")
        driver.status("KILLED", ended_ms=time.time_ns() // 1_000_000 - 5_000)

    story = read_outline(tmp_path)

    assert story.has_end
    assert split_time(story).wall_s < 1.0


def test_what_workers_recorded_is_read_only_for_the_end_of_a_command_that_was_killed(
    tmp_path: Path,
) -> None:
    with JournalWriter(tmp_path, "rank0") as rank_zero:
        rank_zero.start(0, is_exact=True, every_steps=1)
        rank_zero.metrics(7, {"train/loss": 0.5})
    with JournalWriter(tmp_path, "driver") as driver:
        driver.run({"key": "a/b", "tags": {"a": "1"}})
        driver.store("storage")
        driver.tags({"a": "2"})
        whole = read_outline(tmp_path)
        driver.store("storage")
        driver.status("RUNNING")

    assert (len(whole.sessions), whole.metrics, whole.tags) == (1, {}, {"a": "2"})
    assert not read_outline(tmp_path).has_end
    assert read_outline(tmp_path).last_step == 7

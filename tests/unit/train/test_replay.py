"""Steps that are computed again after a resume: they have to give what they gave."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import TrainError
from distrain.run_folder import JOURNAL
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import JournalRecord, read_journal
from distrain.train import loop
from distrain.train.loop import TrainJob, train
from distrain.train.replay import TAG, Replay
from distrain.train.world import World
from tests.example_jobs import job_maker
from tests.prepared_examples import write_classified

CPU = World.single("cpu")
STEPS = 24


class Lost(BaseException):
    """Stands for the death of the process."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = {"train": 123, "validation": 40, "test": 33}
    return write_classified(tmp_path_factory.mktemp("data"), rows)


@pytest.fixture
def job_of(data: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    return job_maker(tmp_path, data, record_every_steps=1, checkpoint_every_steps=5)


def attempt(job: TrainJob, lost_after: int | None = None) -> None:
    """Make an attempt at a run, which its process does not outlive."""
    left = [lost_after]

    def count() -> bool:
        if left[0] == 0:
            raise Lost
        left[0] = left[0] and left[0] - 1
        return False

    with JournalWriter(Path(job.run_dir) / JOURNAL, "rank0") as journal:
        try:
            train(job, CPU, journal, count)
        except Lost:
            assert lost_after


def told(job: TrainJob) -> tuple[list[str], list[str]]:
    """Return the tags about broken bits, and the notes."""
    records, _ = read_journal(Path(job.run_dir) / JOURNAL, {})
    tags = [r.payload[TAG] for r in records if r.kind == "tags" and TAG in r.payload]
    return tags, [r.payload["text"] for r in records if r.kind == "note"]


def change_rates(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    rate = loop.learning_rate

    def changed(*args: Any, **sizes: int) -> float:
        return factor * rate(*args, **sizes)

    monkeypatch.setattr(loop, "learning_rate", changed)


def test_a_resume_gives_what_was_there_and_says_nothing(job_of: Callable[..., TrainJob]) -> None:
    job = job_of()
    for lost_after in (8, 9, None):
        attempt(job, lost_after)

    assert told(job) == ([], [])


def test_a_value_that_is_not_what_it_was_is_told_once_with_both(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of()
    attempt(job, 8)
    change_rates(monkeypatch, 1.5)
    for lost_after in (7, None):
        attempt(job, lost_after)

    (tag,), (note,) = told(job)
    # The loss of step 6 is still that of the checkpoint's weights; one accuracy stays by chance.
    example = "train/lr of step 6 was 0.001 and is now 0.0015"
    assert tag == f"6 of 8 values, after step 5: {example}"
    assert note.startswith("bits are broken: 6 of 8 values that were computed again after step 5")
    assert example in note


def test_a_run_that_began_anew_is_compared_from_its_first_step(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(checkpoint_every_steps=None)
    attempt(job, 3)
    change_rates(monkeypatch, 2.0)
    attempt(job)

    (tag,), _ = told(job)
    assert tag.endswith("after step 0: train/lr of step 1 was 0.001 and is now 0.002")


def test_means_over_other_steps_are_not_compared(job_of: Callable[..., TrainJob]) -> None:
    job = job_of(record_every_steps=4)
    attempt(job, 14)
    for every in (3, 2, 4):
        attempt(replace(job, record_every_steps=every), 8)

    assert told(job)[0] == []


def test_what_may_differ_is_not_compared(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(reduction="fast")
    attempt(job, 8)
    change_rates(monkeypatch, 1.5)
    attempt(job)

    assert told(job) == ([], [])
    records, _ = read_journal(Path(job.run_dir) / JOURNAL, {})
    starts = [record.payload for record in records if record.kind == "start"]
    assert [(start["step"], start["is_exact"]) for start in starts] == [(0, False), (5, False)]


def test_broken_bits_are_told_though_the_attempt_ends_in_an_error(
    job_of: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of()
    attempt(job, lost_after=8)
    change_rates(monkeypatch, 1e30)
    with pytest.raises(TrainError, match="the loss is nan"):
        attempt(job)
    tags, notes = told(job)
    assert len(tags) == 1
    assert any("bits are broken" in note for note in notes)


def metrics(step: int, values: Mapping[str, float | str]) -> JournalRecord:
    return JournalRecord("rank0", 1, 0, "metrics", {"step": step, "values": values}, "rank0-00001")


def begun(step: int, every_steps: int) -> JournalRecord:
    payload = {"step": step, "is_exact": True, "every_steps": every_steps}
    return JournalRecord("rank0", 1, 0, "start", payload, "rank0-00001")


def num_compared(name: str, step: int, *records: JournalRecord, start: int = 10) -> int:
    replay = Replay.of(records, start, every_steps=4)
    replay.compare(step, {name: 2.0})
    return replay.num_compared


def test_a_mean_that_another_interval_began_is_not_compared() -> None:
    before = [begun(0, 4), metrics(12, {"train/loss": 1.0, "train/lr": 1.0}), begun(5, 3)]

    assert num_compared("train/loss", 12, *before) == 0
    assert num_compared("train/lr", 12, *before) == 1


@pytest.mark.parametrize(("odd", "expected"), [(9, 0), (11, 0), (8, 1), (7, 1), (13, 1)])
def test_a_mean_that_the_end_of_a_run_cut_is_not_compared(odd: int, expected: int) -> None:
    ended = metrics(odd, {"train/loss": 1.0})

    assert num_compared("train/loss", 12, ended, metrics(12, {"train/loss": 1.0})) == expected


def test_what_is_measured_after_the_last_step_is_compared_again() -> None:
    assert num_compared("test/loss", 8, metrics(8, {"test/loss": 1.0}), start=8) == 1


def test_times_differ_and_nan_is_nan() -> None:
    replay = Replay.of([metrics(3, {"time/data_s": 1.0, "loss": "nan"})], 2, 1)

    replay.compare(3, {"time/data_s": 2.0, "loss": float("nan")})

    assert (replay.num_compared, replay.num_different) == (1, 0)


def test_the_first_value_is_compared_with_and_not_the_second() -> None:
    replay = Replay.of([metrics(3, {"loss": 1.0}), metrics(3, {"loss": 2.0})], 2, 1)

    replay.compare(3, {"loss": 2.0})

    assert replay.num_different == 1
    assert replay.example == "loss of step 3 was 1.0 and is now 2.0"


def test_a_long_journal_is_read_from_the_step_that_matters(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "rank0") as writer:
        writer.start(0, is_exact=True, every_steps=1)
        for step in range(1, 6):
            writer.metrics(step, {"loss": float(step)})
            writer.progress({"step": step})
        writer.tags({"a": "b"})
        found = [(record.kind, record.payload.get("step")) for record in writer.earlier(4)]

    assert found == [("start", 0), ("metrics", 4), ("metrics", 5), ("tags", None)]

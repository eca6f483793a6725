import errno
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain import finish
from distrain.errors import CheckpointError, TrackingError
from distrain.track import record as record_module
from distrain.track.journal import JournalWriter, read_journal
from distrain.track.record import RunFacts, RunRecord
from distrain.track.tracking_server import TrackingServer

SERVER = TrackingServer("http://127.0.0.1:9", None, "track.uri")
SETTINGS: Any = SimpleNamespace(
    track=SimpleNamespace(register_=SimpleNamespace(model=None, alias=None), drain_s=5)
)
TRAINED: Any = SimpleNamespace(
    outcome=SimpleNamespace(weights_sha256="f" * 64),
    dataset=SimpleNamespace(digest="d"),
    metrics={},
    goals=(),
)
FACTS = RunFacts("e", "r", {"seed": 0}, {"digest": "d", "splits": {}}, {})


class FakeShipper:
    """Answers every drain in the same way, after a fixed time."""

    run_id = "run0"
    experiment_id = "experiment0"

    def __init__(self, *_: object) -> None:
        self.is_away = False
        self.is_closed = False
        self.waits: list[float] = []

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def drain(self, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        time.sleep(0.1)
        return not self.is_away


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunRecord]:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    made = RunRecord(tmp_path, SERVER, FACTS, drain_s=5)
    yield made
    made.journal.close()


def test_waiting_in_vain_is_taken_off_what_may_still_be_waited(record: RunRecord) -> None:
    record.shipper.is_away = True  # type: ignore[attr-defined]
    assert not record.drain()
    with record.waiting() as left_s:
        assert left_s <= 4.9


def test_a_registry_that_is_away_leaves_less_for_the_end(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []

    def register_model(*_: object, timeout_s: float, **__: object) -> None:
        timeouts.append(timeout_s)
        time.sleep(0.1)
        raise TrackingError("away")

    monkeypatch.setattr(finish, "register_model", register_model)
    with pytest.raises(TrackingError):
        finish.register(TRAINED, Path("model"), SETTINGS, SERVER, record)
    assert timeouts == [5]
    assert record.end("FINISHED", {})
    first, last = record.shipper.waits  # type: ignore[attr-defined]
    assert first == 5
    assert 1 <= last <= 4.9


def test_what_succeeds_takes_nothing_off(record: RunRecord) -> None:
    assert record.drain()
    with record.waiting():
        time.sleep(0.1)
    assert record.end("FINISHED", {})
    assert record.shipper.waits == [5, 5]  # type: ignore[attr-defined]


def test_a_last_try_is_always_made(record: RunRecord) -> None:
    record._patience_s = 0.05
    record.shipper.is_away = True  # type: ignore[attr-defined]
    assert not record.drain()
    assert not record.end("FAILED", {})
    assert record.shipper.waits == [0.05, record_module.LEAST_DRAIN_S]  # type: ignore[attr-defined]


def test_a_server_that_answers_is_waited_for_even_where_none_is_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    record = RunRecord(tmp_path, SERVER, FACTS, drain_s=0)
    record.drain()
    record.journal.close()
    assert record.shipper.waits == [record_module.LEAST_DRAIN_S]  # type: ignore[attr-defined]


def test_a_full_disk_does_not_hide_what_cut_the_run_short(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record.journal, "sync", full)
    with pytest.raises(ValueError, match="the real trouble"), record:
        raise ValueError("the real trouble")

    assert record.shipper.is_closed  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="Bad file descriptor"):
        record.journal.note("closed")


def test_a_run_that_goes_on_is_recorded_as_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()
    again = replace(FACTS, config={"seed": 1}, tags={"distrain.code.sha256": "mended"})
    RunRecord(tmp_path, SERVER, again, drain_s=5).journal.close()

    records, _ = read_journal(tmp_path / "journal", {})

    kinds = [record.kind for record in records]
    assert kinds == ["run", "params", "dataset", "tags", "status"]
    assert records[3].payload == {"distrain.code.sha256": "mended"}
    assert records[4].payload == {"status": "RUNNING"}


def test_what_the_first_attempt_did_not_come_to_is_recorded_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    with JournalWriter(tmp_path / "journal", "driver") as killed:
        killed.run({"experiment": "e", "key": "e/r", "name": "r", "tags": {}})
    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()

    records, _ = read_journal(tmp_path / "journal", {})

    assert [record.kind for record in records] == ["run", "tags", "status", "params", "dataset"]


def test_a_run_that_was_taken_over_gets_no_end_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    record = RunRecord(tmp_path, SERVER, FACTS, drain_s=5)

    record.abandon()

    with pytest.raises(CheckpointError), record:
        raise CheckpointError("taken over")

    records, _ = read_journal(tmp_path / "journal", {})
    assert "status" not in [found.kind for found in records]

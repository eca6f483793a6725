import errno
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from distrain import finish, lease
from distrain.claim_files import CLAIMS
from distrain.errors import CheckpointError, TrainError
from distrain.evaluate.gate import Verdict, judge_alone
from distrain.track import record as record_module
from distrain.track import segment
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import read_journal
from distrain.track.links import NOTE_TAG
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import STEPS_TAG, WEIGHTS_TAG, WINNER_TAG
from distrain.track.record import RunFacts, RunRecord
from distrain.track.tracking_server import TrackingServer
from distrain.track.watermark import Watermark

SERVER = TrackingServer("http://127.0.0.1:9", None, "track.uri")
SETTINGS: Any = SimpleNamespace(
    track=SimpleNamespace(register_=SimpleNamespace(model=None, alias="champion"), drain_s=5)
)
TRAINED: Any = SimpleNamespace(
    outcome=SimpleNamespace(weights_sha256="f" * 64, plan_digest="p", step=3),
    dataset=SimpleNamespace(digest="d"),
    metrics={},
    goals=(),
    test_sha256="t",
)
EARNED = judge_alone(())
FACTS = RunFacts("e", "r", {"seed": 0}, {"digest": "d", "splits": {}}, {})


class FakeShipper:
    """Answers every drain in the same way, after a fixed time."""

    run_id = "run0"
    versions: ClassVar = {"e/r@" + 16 * "f": RegisteredVersion("e", "1", "champion")}

    def __init__(self, *_: object, **__: object) -> None:
        self.is_away = False
        self.is_closed = False
        self.waits: list[float] = []

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def drain(self, timeout_s: float, *, with_data: bool = False) -> bool:
        del with_data
        self.waits.append(timeout_s)
        time.sleep(0.1)
        return not self.is_away


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunRecord]:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    made = RunRecord(tmp_path, SERVER, FACTS, drain_s=5)
    yield made
    made.journal.close()


def test_waiting_in_vain_for_the_registry_leaves_less_for_the_end(record: RunRecord) -> None:
    record.shipper.is_away = True  # type: ignore[attr-defined]
    record.shipper.versions = {}  # type: ignore[misc]
    assert finish.register(TRAINED, Path("model"), SETTINGS, record, EARNED) is None
    record.end("FINISHED", {})
    assert not record.drain()
    first, last = record.shipper.waits  # type: ignore[attr-defined]
    assert first == 5
    assert 1 <= last <= 4.9


def test_a_model_waits_to_be_registered_only_where_the_server_was_not_there(
    record: RunRecord,
) -> None:
    finish.register(TRAINED, Path("model"), SETTINGS, record, EARNED)
    assert record.waiting_model is None
    record.shipper.versions = {}  # type: ignore[misc]
    assert record.waiting_model is None  # it was refused

    record.shipper.is_away = True  # type: ignore[attr-defined]
    finish.register(TRAINED, Path("model"), SETTINGS, record, EARNED)
    assert record.waiting_model == "e"


def test_a_packaged_model_is_recorded_by_its_place_in_the_run(
    record: RunRecord, tmp_path: Path
) -> None:
    version = finish.register(TRAINED, tmp_path / "model" / "mlflow", SETTINGS, record, EARNED)

    records, _ = read_journal(tmp_path / "journal", {})
    (model,) = [found.payload for found in records if found.kind == "model"]
    assert model["path"] == "model/mlflow"
    assert model["alias"] == "champion"
    assert model["facts"]["key"] == "e/r@" + 16 * "f"
    assert version == RegisteredVersion("e", "1", "champion")


def test_a_model_that_has_not_earned_its_alias_moves_none(
    record: RunRecord, tmp_path: Path
) -> None:
    refused = Verdict(False, ("not better than version 1",))
    finish.register(TRAINED, tmp_path / "model", SETTINGS, record, refused)

    records, _ = read_journal(tmp_path / "journal", {})
    assert [found.payload["alias"] for found in records if found.kind == "model"] == [None]


def test_what_succeeds_takes_nothing_off(record: RunRecord) -> None:
    assert record.drain()
    record.end("FINISHED", {})
    assert record.drain()
    assert record.shipper.waits == [5, 5]  # type: ignore[attr-defined]


def test_a_last_try_is_always_made(record: RunRecord) -> None:
    record._patience_s = 0.05
    record.shipper.is_away = True  # type: ignore[attr-defined]
    assert not record.drain()
    assert not record.drain()
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
    assert kinds == ["run", "store", "params", "dataset", "store", "tags", "status"]
    assert records[5].payload == {"distrain.code.sha256": "mended"}
    assert records[6].payload == {"status": "RUNNING"}


@pytest.mark.parametrize(
    ("error", "status", "tags"),
    [
        (
            TrainError(
                "the loss is nan", where="step 3", cause="user", error_class="FloatingPointError"
            ),
            "FAILED",
            {
                "distrain.outcome": "failed",
                "distrain.error.kind": "train",
                "distrain.error.class": "FloatingPointError",
                "distrain.error.cause": "user",
                "distrain.error": "step 3: the loss is nan.",
                NOTE_TAG: "### Failed: step 3: the loss is nan.",
            },
        ),
        (
            ZeroDivisionError("a slip of ours"),
            "FAILED",
            {
                "distrain.outcome": "failed",
                "distrain.error.kind": "ZeroDivisionError",
                "distrain.error.class": "ZeroDivisionError",
                "distrain.error": "a slip of ours",
                NOTE_TAG: "### Failed: a slip of ours",
            },
        ),
        (
            KeyboardInterrupt(),
            "KILLED",
            {"distrain.outcome": "interrupted", NOTE_TAG: "### Interrupted"},
        ),
    ],
)
def test_what_cuts_a_run_short_is_its_outcome_until_it_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: str,
    tags: dict[str, str],
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    with (
        pytest.raises(type(error)),
        RunRecord(tmp_path, SERVER, FACTS, drain_s=5),
    ):
        raise error
    records, _ = read_journal(tmp_path / "journal", {})
    assert records[-2].payload == tags
    assert records[-1].payload == {"status": status}

    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()
    records, _ = read_journal(tmp_path / "journal", {})
    told = {"distrain.outcome": "running", NOTE_TAG: record_module.VOID_NOTE}
    void = {name: told.get(name, "none") for name in tags}
    assert [record.payload for record in records[-2:]] == [void, {"status": "RUNNING"}]


def test_the_weights_of_an_earlier_end_are_not_those_of_a_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    with RunRecord(tmp_path, SERVER, FACTS, drain_s=5) as record:
        record.end("FINISHED", {WEIGHTS_TAG: "f" * 64, STEPS_TAG: "4", WINNER_TAG: "r-0001"})

    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()

    records, _ = read_journal(tmp_path / "journal", {})
    void = [record.payload for record in records if record.kind == "tags"][-1]
    assert void == dict.fromkeys((STEPS_TAG, WEIGHTS_TAG, WINNER_TAG), "none")


def test_the_description_of_an_earlier_end_is_void_once_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    with RunRecord(tmp_path, SERVER, FACTS, drain_s=5) as record:
        record.end("FAILED", {NOTE_TAG: "### Failed: the loss is nan"})

    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()

    records, _ = read_journal(tmp_path / "journal", {})
    [_, void] = [record.payload[NOTE_TAG] for record in records if record.kind == "tags"]
    assert void == record_module.VOID_NOTE


def test_what_the_first_attempt_did_not_come_to_is_recorded_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    with JournalWriter(tmp_path / "journal", "driver") as killed:
        killed.run({"experiment": "e", "key": "e/r", "name": "r", "tags": {}})
    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()

    records, _ = read_journal(tmp_path / "journal", {})

    kinds = [record.kind for record in records]
    assert kinds == ["run", "store", "tags", "status", "params", "dataset"]


def test_a_run_whose_first_record_was_altered_goes_on_as_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()
    segment = tmp_path / "journal" / "driver-00001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b'"kind":"run"', b'"kind":"sun"'))
    RunRecord(tmp_path, SERVER, FACTS, drain_s=5).journal.close()

    records, _ = read_journal(tmp_path / "journal", {})

    kinds = [record.kind for record in records]
    assert kinds == ["damaged", "store", "params", "dataset", "run", "store", "tags", "status"]


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


def test_an_interrupted_driver_records_no_end_where_another_has_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    fence = lease.take(tmp_path).fence
    record = RunRecord(tmp_path, SERVER, FACTS, drain_s=5, fence=fence)
    (tmp_path / CLAIMS / str(fence + 1)).touch()

    with pytest.raises(KeyboardInterrupt), record:
        raise KeyboardInterrupt

    records, _ = read_journal(tmp_path / "journal", {})
    assert not {"status", "tags"} & {found.kind for found in records}
    assert record.shipper.waits == []  # type: ignore[attr-defined]
    assert "the run was taken over" in caplog.text


def test_a_driver_s_journal_takes_nothing_once_another_has_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "Shipper", FakeShipper)
    monkeypatch.setattr(segment, "LOOK_S", 0.0)
    fence = lease.take(tmp_path).fence

    with RunRecord(tmp_path, SERVER, FACTS, drain_s=5, fence=fence) as record:
        record.end("FINISHED", {})
        (tmp_path / CLAIMS / str(fence + 1)).touch()
        record.journal.tags({"distrain.outcome": "of one that thaws"})

    records, _ = read_journal(tmp_path / "journal", {})
    assert records[-1].payload == {"status": "FINISHED"}


def test_offline_nothing_is_sent_and_the_store_is_kept_for_sync(tmp_path: Path) -> None:
    with RunRecord(tmp_path, SERVER, FACTS, drain_s=None) as record:
        began = time.monotonic()
        assert not record.drain()
        assert not record.end("FINISHED", {})
        assert time.monotonic() - began < 1
        assert record.shipper.run_id is None
        assert "--offline" in record.why_unsent

    mark = Watermark.load(tmp_path / "journal")
    assert (mark.run_id, mark.server) == (None, SERVER.identity)

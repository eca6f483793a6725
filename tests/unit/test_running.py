"""What becomes of a run whose disk is full at its end, or whose user does not wait for it."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain import running
from distrain.display import Display
from distrain.errors import ModelError, TrainError
from distrain.finish import Ending
from distrain.track import record as record_module
from distrain.track.journal_reading import DRIVER, written_by
from distrain.track.model_versions import RegisteredVersion
from distrain.track.record import RunFacts, RunRecord
from distrain.train.job import TrainOutcome

FULL = OSError(errno.ENOSPC, "No space left on device")


class Notes(Display):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_result_that_cannot_be_written_is_told_with_the_disk(tmp_path: Path) -> None:
    told = f"{tmp_path}.*No space left.*Make room there"
    notes = Notes()
    with (
        pytest.raises(TrainError, match=told),
        running.telling_end_faults(tmp_path, None, notes),
    ):
        raise FULL
    assert notes.texts == [f"go on with: distrain resume {tmp_path}"]


def test_why_the_run_failed_comes_before_the_disk(tmp_path: Path) -> None:
    failed = ModelError("other predictions")
    with (
        pytest.raises(ModelError, match="other predictions"),
        running.telling_end_faults(tmp_path, failed, Notes()),
    ):
        raise FULL


def test_a_run_that_the_disk_is_too_full_to_begin_is_told_with_the_disk(
    ended_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(running, "load_mlflow", lambda _: None)
    monkeypatch.setattr(running, "dump_yaml", lambda _: "")
    monkeypatch.setattr(running, "write_atomically", full)
    ended_run.settings.track = SimpleNamespace(drain_s=1)
    ended_run.is_offline = False

    with pytest.raises(TrainError, match=r"No space left.*Make room there, then give"):
        running.begun_record(ended_run)


def test_an_unforeseen_error_is_told_where_its_traceback_cannot_be_kept(tmp_path: Path) -> None:
    missing = tmp_path / "gone"
    error = running.unforeseen(ValueError("why"), missing)
    assert error.message == "ValueError: why"
    assert "cannot be kept" in error.mend


OUTCOME = TrainOutcome(
    status="finished",
    epoch=1,
    step=12,
    total_steps=12,
    steps_per_epoch=12,
    metrics={"train/loss": 0.5},
    weights_sha256="f" * 64,
    weights_file="model.safetensors",
    num_parameters=10,
    num_workers=1,
    samples_per_second=None,
    best_step=None,
    resumed_from_step=None,
    waits={},
    plan_digest="0" * 64,
)


class Interrupting:
    """A shipper whose server is away, so that the user loses patience."""

    run_id = None

    def __init__(self, *_: object, **__: object) -> None:
        self.num_drains = 0
        self.versions: dict[str, RegisteredVersion] = {}

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def drain(self, _timeout_s: float, *, with_data: bool = False) -> bool:
        del with_data
        self.num_drains += 1
        raise KeyboardInterrupt


@pytest.fixture
def ended_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `_record_end` asks of a run that came to its end."""
    monkeypatch.setattr(record_module, "Shipper", Interrupting)
    monkeypatch.setattr(running, "run_story", lambda *_: "what became of it")
    return SimpleNamespace(
        run_dir=tmp_path,
        settings=SimpleNamespace(name="digits"),
        server=SimpleNamespace(shown="http://away", origin="track.uri"),
        prepared=SimpleNamespace(rows={"train": 10}, dataset=SimpleNamespace(digest="d")),
        preflight=SimpleNamespace(num_parameters=10),
        job=SimpleNamespace(model={"name": "linear"}, fence=None),
        won=None,
        ready_s=0.0,
    )


def the_record(run_dir: Path) -> RunRecord:
    facts = RunFacts("e", "r", {}, {"digest": "d", "splits": {}}, {})
    server: Any = SimpleNamespace(identity="http://away")
    return RunRecord(run_dir, server, facts, drain_s=5)


def recorded_ends(run_dir: Path) -> list[str]:
    found = written_by(DRIVER, run_dir / "journal")
    return [record.payload["status"] for record in found if record.kind == "status"]


def test_the_report_of_a_run_is_among_its_artifacts_and_the_end_waits_for_no_report(
    ended_run: Any,
) -> None:
    with the_record(ended_run.run_dir) as record:
        running._record_end(ended_run, Notes(), record, Ending(OUTCOME))

    records = list(written_by(DRIVER, ended_run.run_dir / "journal"))
    [report] = [record.payload for record in records if record.kind == "artifact"]
    assert report == {"path": "report.html", "artifact_path": "report"}
    kinds = [record.kind for record in records]
    assert kinds.index("status") < kinds.index("artifact")
    assert "Finished" in (ended_run.run_dir / "report.html").read_text(encoding="utf-8")


def test_who_is_killed_while_the_report_is_written_leaves_a_run_that_ended(
    ended_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(running, "report_at_end", killed)
    with pytest.raises(SystemExit), the_record(ended_run.run_dir) as record:
        running._record_end(ended_run, Notes(), record, Ending(OUTCOME))

    assert recorded_ends(ended_run.run_dir) == ["FINISHED"]
    assert json.loads((ended_run.run_dir / "result.json").read_text())["status"] == "finished"


def test_a_story_that_cannot_be_told_does_not_fail_a_trained_run(
    ended_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_another_form(*_: object) -> str:
        return str({}["splits"])

    monkeypatch.setattr(running, "run_story", of_another_form)
    (ended_run.run_dir / "logs").mkdir(exist_ok=True)
    notes = Notes()
    with the_record(ended_run.run_dir) as record:
        result = running._record_end(ended_run, notes, record, Ending(OUTCOME))

    assert result.status == "finished"
    assert recorded_ends(ended_run.run_dir) == ["FINISHED"]
    tags = {}
    for one in written_by(DRIVER, ended_run.run_dir / "journal"):
        tags |= one.payload if one.kind == "tags" else {}
    assert tags["mlflow.note.content"].startswith("### Finished\n\nNo more could be told")
    assert any("KeyError" in text and "story.txt" in text for text in notes.texts)
    assert "of_another_form" in (ended_run.run_dir / "logs" / "story.txt").read_text()


def test_who_does_not_wait_for_the_server_has_a_finished_run(ended_run: Any) -> None:
    notes = Notes()
    with the_record(ended_run.run_dir) as record:
        assert not record.drain()  # while the model was registered
        result = running._record_end(ended_run, notes, record, Ending(OUTCOME))

    assert record.shipper.num_drains == 1  # type: ignore[attr-defined]
    assert (result.status, result.tracking) == ("finished", "pending")
    assert recorded_ends(ended_run.run_dir) == ["FINISHED"]
    assert "not all is recorded at http://away: the wait was interrupted" in notes.texts


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError("gone"), ValueError("a slip")])
def test_what_comes_after_the_end_of_a_run_does_not_change_it(
    ended_run: Any, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(_: RunRecord) -> None:
        raise fault

    monkeypatch.setattr(RunRecord, "drain", fail)
    with pytest.raises(type(fault)), the_record(ended_run.run_dir) as record:
        running._record_end(ended_run, Notes(), record, Ending(OUTCOME))

    assert recorded_ends(ended_run.run_dir) == ["FINISHED"]
    result = json.loads((ended_run.run_dir / "result.json").read_text())
    assert (result["status"], result["tracking"]) == ("finished", "pending")


@pytest.mark.parametrize(
    ("status", "tracking", "has_model", "is_left"),
    [
        ("finished", "complete", False, False),  # only train.step knows how to call it
        ("finished", "complete", True, True),  # the registry refused it
        ("finished", "pending", False, True),
        ("interrupted", "complete", False, True),
        ("failed", "complete", False, True),
    ],
)
def test_a_run_whose_model_cannot_be_registered_is_not_to_be_gone_on_with(
    ended_run: Any, status: Any, tracking: Any, has_model: bool, is_left: bool
) -> None:
    with the_record(ended_run.run_dir) as record:
        ended = running._record_end(ended_run, Notes(), record, Ending(OUTCOME))

    result = replace(ended, status=status, tracking=tracking)

    assert running.is_something_left(result, has_model=has_model) is is_left


def test_a_run_that_failed_tells_the_last_step_of_its_journal(ended_run: Any) -> None:
    ended_run.preflight.steps_per_epoch = 4
    ended_run.placement = SimpleNamespace(num_workers=2)
    with the_record(ended_run.run_dir) as record:
        record.journal.metrics(7, {"train/loss": 0.5})
        result = running._record_end(ended_run, Notes(), record, Ending(error=TrainError("why")))

    assert (result.status, result.step, result.epoch) == ("failed", 7, 2)


@pytest.mark.parametrize(("reproduces", "is_told"), [(None, True), ("e/other", False)])
def test_who_interrupts_a_run_is_told_how_to_go_on_unless_it_makes_another_again(
    ended_run: Any, monkeypatch: pytest.MonkeyPatch, reproduces: str | None, is_told: bool
) -> None:
    def interrupted(*_: object) -> Ending:
        raise KeyboardInterrupt

    facts = RunFacts("e", "r", {}, {"digest": "d", "splits": {}}, {})
    for name, stand_in in {
        "load_mlflow": lambda _: None,
        "dump_yaml": lambda _: "",
        "training_text": lambda _: "training",
        "with_lineage": lambda _: facts,
        "_ending": interrupted,
    }.items():
        monkeypatch.setattr(running, name, stand_in)
    ended_run.settings.track = SimpleNamespace(drain_s=1)
    ended_run.server.identity = "http://away"
    ended_run.is_offline, ended_run.reproduces = False, reproduces
    (ended_run.run_dir / "lineage").mkdir()
    notes = Notes()

    with pytest.raises(KeyboardInterrupt):
        running.finish_run(ended_run, notes)

    assert any("distrain resume" in text for text in notes.texts) is is_told

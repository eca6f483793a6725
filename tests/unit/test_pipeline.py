"""What a command that goes on with a run tells before it does anything."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain import pipeline
from distrain.display import Display
from distrain.errors import DataError
from distrain.run_folder import JOURNAL
from distrain.track.journal import JournalWriter


class Notes(Display):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_who_resumes_a_run_is_told_what_its_journal_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unready(*_: Any, **__: Any) -> None:
        raise DataError("the data is gone")

    monkeypatch.setattr(pipeline, "ready", unready)
    with JournalWriter(tmp_path / JOURNAL, "driver") as journal:
        for number in range(4):
            journal.tags({"number": str(number)})
    lines = journal.path.read_bytes().splitlines(keepends=True)
    kept = lines[0] + lines[2]
    journal.path.write_bytes(kept + lines[3][:-9])
    started = SimpleNamespace(import_paths=[])
    stored: Any = SimpleNamespace(run_dir=tmp_path, started=started, settings=None)
    notes = Notes()

    with pytest.raises(DataError, match="the data is gone"):
        pipeline._go_on(stored, 1, [], notes, is_offline=True)

    assert notes.texts == [
        f"{journal.path} is cut off at byte {len(kept)}",
        f"{journal.path} lacks records that came before others of it: 2",
    ]


def test_a_search_that_another_has_finished_meanwhile_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result: Any = SimpleNamespace(tracking="complete")
    before: Any = SimpleNamespace(settings=None, changed={}, is_finished_search=False)
    after: Any = SimpleNamespace(
        settings=None, changed={}, is_finished_search=True, sweep_result=result
    )
    looks = iter((before, after))  # without the lease, and with it
    monkeypatch.setattr(pipeline, "read_stored_run", lambda *_: next(looks))
    monkeypatch.setattr(pipeline, "check_search", lambda *_: None)
    monkeypatch.setattr(pipeline, "check_changes", lambda *_: None)
    notes = Notes()

    assert pipeline.resume_search(tmp_path, (), notes) is result
    assert notes.texts == ["the search is finished: nothing is left to do"]

"""What is shown of a journal while it is written."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from distrain.track.journal import JournalWriter
from distrain.train import journal_watch
from distrain.train.journal_watch import watching


class Shown:
    """A display that keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, text: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def waiting(self, text: str) -> None:
        """Show nothing."""

    def progress(self, record: Mapping[str, Any]) -> None:
        """Show nothing."""

    def search(self, standing: Mapping[str, Any]) -> None:
        """Show nothing."""


def test_a_journal_that_was_away_for_a_moment_is_shown_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read, looks, is_back = journal_watch.read_journal, [0], threading.Event()

    def away_at_first(*arguments: Any, **named: Any) -> Any:
        looks[0] += 1
        if looks[0] <= 3:
            raise OSError(116, "Stale file handle")
        is_back.set()
        return read(*arguments, **named)

    monkeypatch.setattr(journal_watch, "WATCH_INTERVAL_S", 0.01)
    monkeypatch.setattr(journal_watch, "read_journal", away_at_first)
    shown = Shown()
    with watching(tmp_path, shown), JournalWriter(tmp_path, "attempts") as record:
        record.note("a node was lost")
        assert is_back.wait(10)

    assert shown.notes == ["a node was lost"]
    assert caplog.text.count("Stale file handle") == 1

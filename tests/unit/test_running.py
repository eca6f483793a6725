"""What becomes of a run whose disk is full at its end."""

import errno
from pathlib import Path

import pytest

from distrain import running
from distrain.display import Display
from distrain.errors import ModelError, TrainError
from distrain.finish import Ending

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
        running._telling_disk_faults(tmp_path, Ending(), notes),
    ):
        raise FULL
    assert notes.texts == [f"go on with: distrain resume {tmp_path}"]


def test_why_the_run_failed_comes_before_the_disk(tmp_path: Path) -> None:
    failed = Ending(error=ModelError("other predictions"))
    with (
        pytest.raises(ModelError, match="other predictions"),
        running._telling_disk_faults(tmp_path, failed, Notes()),
    ):
        raise FULL


def test_an_unforeseen_error_is_told_where_its_traceback_cannot_be_kept(tmp_path: Path) -> None:
    missing = tmp_path / "gone"
    error = running._unforeseen(ValueError("why"), missing)
    assert error.message == "ValueError: why"
    assert "cannot be kept" in error.mend

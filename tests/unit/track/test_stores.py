"""Which tracking store a run of an earlier command is recorded at."""

from pathlib import Path

import pytest

from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import DRIVER
from distrain.track.stores import server_of_run
from distrain.track.watermark import WATERMARK, Watermark


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose driver named two stores, one after the other; the environment names a third."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another:5000")
    run_dir = tmp_path / "runs" / "digits" / "one"
    for number in (1, 2):
        with JournalWriter(run_dir / "journal", DRIVER) as journal:
            journal.store(f"http://store-{number}:5000")
            journal.note("more")
    return run_dir


@pytest.mark.parametrize("left", [None, "", "{"])
def test_a_run_whose_watermark_is_lost_keeps_its_store(run_dir: Path, left: str | None) -> None:
    if left is not None:
        (run_dir / "journal" / WATERMARK).write_text(left)
    assert server_of_run(run_dir).uri == "http://store-2:5000"


def test_the_watermark_comes_first(run_dir: Path) -> None:
    Watermark(server="http://shipped-to:5000").save(run_dir / "journal")
    assert server_of_run(run_dir).uri == "http://shipped-to:5000"

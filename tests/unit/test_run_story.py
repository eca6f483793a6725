"""What a run's description says, from its start to its end."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from distrain.errors import TrainError
from distrain.finish import Ending
from distrain.run_story import run_story
from distrain.track.journal import JournalWriter
from distrain.track.record import RunFacts
from tests.unit.test_run_facts import started
from tests.unit.test_running import OUTCOME

MANIFEST: dict[str, Any] = {"splits": {"train": {"num_rows": 12}, "test": {"num_rows": 3}}}


def story(run_dir: Path, ending: Ending) -> str:
    """Return the description of a run whose model waits to be registered."""
    run = started()
    rest: Any = {
        "preflight": SimpleNamespace(num_parameters=10),
        "prepared": SimpleNamespace(rows={"train": 12}, dataset=SimpleNamespace(digest="d" * 64)),
        "job": replace(run.job, run_dir=str(run_dir)),
    }
    facts = RunFacts("digits", "one", {}, MANIFEST, {})
    record: Any = SimpleNamespace(facts=facts, version=None, waiting_model="digits")
    return run_story(replace(run, **rest), record, ending)


def test_a_run_whose_server_was_away_tells_who_registers_its_model_and_how_it_is_loaded(
    tmp_path: Path,
) -> None:
    told = story(tmp_path, Ending(OUTCOME, {"test/loss": 0.5}))

    assert "registers it as digits" in told
    assert 'load_model("models:/digits/latest")' in told
    assert "measured on 3 test rows, by which training chose nothing" in told


def test_a_run_that_failed_is_told_without_a_model_and_its_error_as_it_reads(
    tmp_path: Path,
) -> None:
    told = story(tmp_path, Ending(error=TrainError("[x](distrain:trial/x) is bad")))

    assert told.startswith("### Failed: \\[x\\](distrain:trial/x) is bad")
    assert "load_model" not in told
    assert "it failed before its end" in told
    assert "nothing was measured on the 3 test rows" in told


def test_a_run_whose_first_records_are_lost_tells_no_time(tmp_path: Path) -> None:
    ending = Ending(OUTCOME)
    assert "**Took**" not in story(tmp_path, ending)
    with JournalWriter(tmp_path / "journal", "driver") as journal:
        journal.status("RUNNING")

    assert "**Took since it was gone on with last**: " in story(tmp_path, ending)

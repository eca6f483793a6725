"""What a run's description says, from its start to its end."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distrain.errors import TrainError
from distrain.finish import Ending
from distrain.run_story import run_story
from distrain.track.journal import JournalWriter
from distrain.track.record import RunFacts
from tests.unit.test_run_facts import started
from tests.unit.test_running import OUTCOME

MANIFEST: dict[str, Any] = {"splits": {"train": {"num_rows": 12}, "test": {"num_rows": 3}}}


def story(run_dir: Path, ending: Ending, gpu: float = 0.0) -> str:
    """Return the description of a run whose model waits to be registered.

    Args:
        run_dir: its folder.
        ending: how it ended.
        gpu: of each worker.
    """
    run = started()
    rest: Any = {
        "preflight": SimpleNamespace(num_parameters=10),
        "prepared": SimpleNamespace(rows={"train": 12}, dataset=SimpleNamespace(digest="d" * 64)),
        "job": replace(run.job, run_dir=str(run_dir)),
        "placement": replace(run.placement, gpu=gpu),
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
        journal.store("storage")

    assert "**Took**: " in story(tmp_path, ending)


def test_what_a_run_took_is_of_all_of_its_commands_and_gpus_of_its_workers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_s = 1_796_000_000
    with JournalWriter(tmp_path / "journal", "driver") as journal:
        for at_s, ends in ((0, True), (5000, False)):
            monkeypatch.setattr(time, "time_ns", lambda s=at_s: (begun_s + s) * 10**9)
            journal.store("storage")
            with JournalWriter(tmp_path / "journal", "attempts") as attempts:
                monkeypatch.setattr(time, "time_ns", lambda s=at_s: (begun_s + s + 400) * 10**9)
                attempts.tags({"distrain.workers_by_attempt": "2"})
            monkeypatch.setattr(time, "time_ns", lambda s=at_s: (begun_s + s + 1300) * 10**9)
            if ends:
                journal.status("KILLED")

    told = story(tmp_path, Ending(OUTCOME), gpu=0.5)

    # 400 s of getting ready and 900 s of two workers with half a GPU each, twice.
    assert "**Took**: 43 min 20 s; 0.5 GPU-hours" in told
    assert "gone on with once; workers by attempt: 2, 2" in told


def test_the_report_and_the_command_that_compares_are_told_first_and_last(tmp_path: Path) -> None:
    told = story(tmp_path, Ending(OUTCOME))

    assert "[Report](distrain:artifacts/report/report.html)" in told.splitlines()[:3]
    line = f"distrain compare ANOTHER_RUN {tmp_path.name} --storage {tmp_path.parent.parent}"
    assert f"**From any other run**: `{line}`" in told

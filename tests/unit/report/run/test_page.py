"""A run's report: what it says is what was recorded, whatever became of the run."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from distrain import lease
from distrain.past import story
from distrain.report.page.words import number_text
from distrain.report.run.page import run_page
from distrain.report.run.view import view_run
from distrain.track.journal import JournalWriter
from distrain.track.journal_reading import read_journal
from tests.reported_run import ASSESSMENT, CONFIG, RESULT, write_run

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return write_run(tmp_path / "pets" / "20261130T120000-aaaaaa")


def told(run_dir: Path) -> str:
    """What a reader sees, a word after another."""
    html = run_page(view_run(run_dir))
    body = html.partition("</head>")[2]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body.replace("<wbr>", ""))))


def failed(**fields: Any) -> dict[str, Any]:
    error = {
        "kind": "TrainError",
        "message": "the loss is not finite",
        "where": "rank 0, step 7",
        "expected": "a finite loss",
        "mend": "Lower the learning rate",
    }
    return {**RESULT, "status": "failed", "model": None, "goals": {}, "error": error, **fields}


def test_ten_numbers_on_the_page_are_the_journal_s(run_dir: Path) -> None:
    page = told(run_dir)
    records, _ = read_journal(run_dir / "journal", {})
    values = [record.payload for record in records if record.kind == "metrics"]
    test = {name: v for each in values for name, v in each["values"].items() if "test/" in name}
    losses = {
        e["step"]: e["values"]["validation/loss"]
        for e in values
        if "validation/loss" in e["values"]
    }
    compute_s = sum(each["values"].get("time/compute_s", 0.0) for each in values)
    data_s = sum(each["values"].get("time/data_s", 0.0) for each in values)
    best = min(losses, key=lambda step: losses[step])
    [counts] = [record.payload["counts"] for record in records if record.kind == "assessment"]
    cpu = [
        record.payload["values"]["system/node_0/cpu_utilization_percentage"]
        for record in records
        if record.kind == "system"
    ]

    assert f"test/accuracy {number_text(test['test/accuracy'])} goal >= 0.8: met" in page
    assert f"test/f1 {number_text(test['test/f1'])} goal >= 0.99: not met" in page
    assert f"step {best}, with validation/loss {losses[best]}" in page
    assert f"best of {len(losses)}, at step {best}" in page
    assert f"{compute_s:.1f} s of it computing" in page
    assert f"waiting for data {data_s * 1000:.0f} ms" in page
    assert f"{sum(counts['right'])} of {counts['num_rows']} rows are right" in page
    assert f"cat dog {counts['confused'][0][2]} " in page
    assert f"desk {len(cpu)} {sum(cpu) / len(cpu):.0f} %" in page
    assert f"validation/loss {number_text(losses[best])}" in page


def test_outcome_and_goals_come_first(run_dir: Path) -> None:
    page = told(run_dir)

    assert "Finished, and a stated goal was not met" in page
    assert "It is registered as pets version 3, models:/pets@champion." in page
    assert "test/accuracy met >= 0.8 0.85 +0.05 –" in page  # noqa: RUF001 - an en dash
    assert "test/f1 not met >= 0.99 0.8375 -0.152 –" in page  # noqa: RUF001


def test_classes_are_told_with_precision_and_recall_the_weakest_first(run_dir: Path) -> None:
    page = told(run_dir)

    assert "dog 8 0.778 0.875 0.824" in page
    assert "cat 12 0.909 0.833 0.870" in page
    assert page.index("dog 8 0.778") < page.index("cat 12 0.909")


def test_data_is_told_with_what_was_found_in_it(run_dir: Path) -> None:
    page = told(run_dir)

    assert "! column 'size': 10.0% of the rows have no value" in page
    assert "✓ no row repeats another" in page
    assert "size numeric double 10 % -1.5 to 4 0.25 ± 1.25" in page
    assert "kind target string" in page
    assert "…/away/a.csv 90 9 aaaaaaaaaaaa" in page


def test_who_made_it_and_how_it_is_loaded(run_dir: Path) -> None:
    database = run_dir.parent.parent / "mlflow.db"
    database.touch()

    page = told(run_dir)

    assert "made by ada on desk" in page
    assert f"mlflow.set_tracking_uri('sqlite:///{database}') model = mlflow.pyfunc" in page
    assert "model = mlflow.pyfunc.load_model('models:/pets/3')" in page
    assert "distrain predict models:/pets/3 --data rows.csv" in page
    assert "It was tested on 20 rows" in page


def test_the_run_before_is_compared(tmp_path: Path) -> None:
    before = {**RESULT, "metrics": {**RESULT["metrics"], "test/accuracy": 0.75}}
    config = CONFIG.replace("seed: 5", "seed: 4")
    write_run(tmp_path / "pets" / "20261130T110000-aaaaaa", config=config, result=before)
    now = write_run(tmp_path / "pets" / "20261130T120000-bbbbbb")

    page = told(now)

    assert "Against 20261130T110000-aaaaaa (finished)." in page
    assert "test/accuracy 0.75 → 0.85" in page
    assert "configuration seed 4 5" in page
    assert "test/accuracy met >= 0.8 0.85 +0.05 0.75" in page


def test_a_run_that_failed_says_why(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "p" / "r", result=failed(weights_sha256=None), assessment=None)

    page = told(run_dir)

    assert "Failed at step 30" in page
    assert "The loss is not finite. Rank 0, step 7. Lower the learning rate." in page
    assert "There is nothing to load yet." in page
    assert "Where it is wrong" not in page


def test_a_run_that_told_no_end_and_is_driven_by_nobody_was_cut_off(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "p" / "r", result=None, assessment=None)

    page = told(run_dir)

    assert "Cut off at step 30" in page
    assert "distrain resume goes on with it." in page
    assert "test/accuracy not measured yet >= 0.8 –" in page  # noqa: RUF001


def test_a_run_that_somebody_drives_is_running(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "p" / "r", result=None, assessment=None)

    with lease.holding(run_dir, print):
        page = told(run_dir)

    assert "Running, at step 30" in page


def test_a_run_of_numbers_tells_its_errors(tmp_path: Path) -> None:
    group = {
        "low": 1.0,
        "high": 2.0,
        "num_rows": 20,
        "mean_error": 0.5,
        "mean_absolute_error": 0.75,
    }
    target = {
        "name": "price",
        "num_finite": 19,
        "mean_error": 0.5,
        "mean_absolute_error": 0.75,
        "edges": [-1.0, 0.0, 1.0],
        "counts": [4, 12],
        "below": 1,
        "above": 2,
        "groups": [group],
    }
    counts = {"num_rows": 20, "targets": [target]}

    page = told(write_run(tmp_path / "p" / "r", assessment=counts))

    assert "Errors of price mean 0.5, mean size 0.75; 3 rows beyond" in page
    assert "1 to 2 20 0.5 0.75" in page
    assert "1 predictions of price are no numbers." in page


@pytest.mark.parametrize("missing", ["lineage", "journal", "config.yaml", "started.json"])
def test_what_is_missing_is_left_out(run_dir: Path, missing: str) -> None:
    (run_dir / missing).rename(run_dir / "away")

    assert "Finished" in told(run_dir)


def test_a_run_that_is_all_but_empty_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "p" / "r").mkdir(parents=True)

    assert "Cut off at step 0" in told(tmp_path / "p" / "r")


def test_nothing_that_users_or_data_name_becomes_markup(tmp_path: Path) -> None:
    counts = {**ASSESSMENT, "classes": [EVIL, "dog"]}
    result = failed(error={**failed()["error"], "message": EVIL, "where": EVIL})
    config = CONFIG.replace("kind}", json.dumps(EVIL) + "}").replace("mlp", json.dumps(EVIL))
    run_dir = write_run(
        tmp_path / EVIL.replace("/", "") / "r", config=config, result=result, assessment=counts
    )

    html = run_page(view_run(run_dir))

    assert "<script" not in html
    assert EVIL in unescape(html)


def test_a_section_whose_record_is_forged_says_so_and_the_others_are_drawn(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "p" / "r", assessment={"num_rows": 3, "classes": 5})

    page = told(run_dir)

    assert "What was recorded for this section has other fields (KeyError)." in page
    assert "made by ada on desk" in page


@pytest.mark.parametrize(
    "progress", [{"total_steps": 30}, {"total_steps": "many", "total_epochs": 3}]
)
def test_a_forged_head_is_left_out_and_the_sections_are_drawn(
    run_dir: Path, progress: dict[str, Any]
) -> None:
    run = view_run(run_dir)
    run.story.progress = progress

    page = run_page(run)

    assert "<b>Finished</b>" in page
    assert "made by" in page


def test_values_are_not_sorted_anew_at_each_use(run_dir: Path) -> None:
    run = view_run(run_dir)

    assert run.selection is run.selection
    assert run.metrics is run.metrics


def test_the_store_that_the_journal_names_is_the_one_to_load_from(run_dir: Path) -> None:
    (run_dir.parent.parent / "mlflow.db").touch()
    with JournalWriter(run_dir / "journal", "driver") as driver:
        driver.store("https://me:word@mlflow.example.org")

    page = told(run_dir)

    assert "mlflow.set_tracking_uri('https://***@mlflow.example.org')" in page
    assert "sqlite" not in page


def test_of_a_large_journal_the_newest_values_and_all_else_are_told(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [segment] = (run_dir / "journal").glob("rank0-*")
    monkeypatch.setattr(story, "MAX_BYTES", segment.stat().st_size // 2)

    run = view_run(run_dir)

    assert run.story.from_step == 16
    assert [step for step, _ in run.story.points("train/loss")] == [20, 25, 30]
    assert run.story.attempts[0].began_ms is not None
    assert run.story.assessments
    page = run_page(run)
    assert "what came before step 16 is left out" in page
    assert "The best since step 16 was step 20" in page


def test_a_page_is_small(run_dir: Path) -> None:
    assert len(run_page(view_run(run_dir))) < 60_000

"""What descriptions of runs are made of: each line says what is known, or that it is not."""

from pathlib import Path
from typing import Any

import pytest

from distrain.past.story import read_outline
from distrain.results import RunStatus
from distrain.story import (
    assignment_text,
    code_text,
    data_text,
    interrupted_text,
    limits_text,
    load_text,
    maker_text,
    model_text,
)
from distrain.track.journal import JournalWriter
from distrain.track.model_versions import RegisteredVersion
from distrain.track.record import RunFacts

MANIFEST: dict[str, Any] = {
    "sources": [{"uri": f"s3://ann:secretsecret@host/part-{n}.csv"} for n in range(5)],
    "splits": {"train": {"num_rows": 1200}, "test": {"num_rows": 300}},
    "findings": [{"kind": "missing", "column": "age", "message": "3 values missing", "count": 3}],
}


def test_data_is_told_by_its_first_files_its_rows_and_its_digest_without_credentials() -> None:
    told = data_text(MANIFEST, "d" * 64)

    assert "secretsecret" not in told
    assert "part-2.csv and 2 more; rows: train 1,200, test 300; [digest dddddddddddd](" in told


def test_limits_are_the_rows_that_were_measured_and_what_is_left_in_the_data() -> None:
    facts = RunFacts("e", "r", {}, MANIFEST, {"distrain.bits": "not promised (fsdp)"})

    assert limits_text(facts, {"test/loss": 0.5}) == (
        "measured on 300 test rows, by which training chose nothing; bits not promised (fsdp); "
        "left in the data: column 'age': 3 values missing"
    )


def test_a_run_without_a_test_split_is_told_to_flatter() -> None:
    told = limits_text(RunFacts("e", "r", {}, {"splits": {"train": {"num_rows": 9}}}, {}), {})

    assert "no test rows: the validation split steered training, and flatters" in told


def test_a_run_that_measured_nothing_is_not_told_to_have() -> None:
    told = limits_text(RunFacts("e", "r", {}, MANIFEST, {}), {"train/loss": 0.5})

    assert told.startswith("nothing was measured on the 300 test rows; left in the data")


def test_code_outside_of_git_is_told_to_be_kept_with_the_run() -> None:
    assert "outside of git" in code_text({"distrain.version": "0.1.0"})
    dirty = {"distrain.code.commit": "c" * 40, "distrain.code.dirty": "true"}
    assert "commit cccccccccccc with [uncommitted changes](" in code_text(dirty)


def test_who_made_a_run_is_told_with_the_command() -> None:
    tags = {"mlflow.user": "ann", "mlflow.source.name": "distrain tune run.yaml"}

    assert maker_text(tags) == "ann, by `distrain tune run.yaml`"


def test_a_model_is_told_with_its_alias_and_what_the_gate_said() -> None:
    version = RegisteredVersion("adult", "3", "champion")

    assert model_text(version, None, "Better.") == (
        "[adult version 3](distrain:model/adult/3), which has the alias champion. Better."
    )
    assert model_text(None, None, "") == "not registered."
    assert load_text(None, None) == []
    assert 'load_model("models:/adult/3")' in "\n".join(load_text(version, None))


def test_a_model_that_the_server_was_away_for_is_told_with_who_registers_it_and_its_name() -> None:
    assert "`distrain sync`" in model_text(None, "adult", "")
    assert 'load_model("models:/adult/latest")' in "\n".join(load_text(None, "adult"))


def test_a_trial_s_values_read_as_they_are() -> None:
    told = assignment_text({"model.act_fn": "my_mod:Act", "note": "a|b" * 50})

    assert told.startswith("`model.act_fn` = my\\_mod:Act, `note` = a\\|b")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("finished", "no, from start to end"),
        ("stopped_early", "no, from start to end"),
        ("failed", "it failed before its end"),
        ("interrupted", "it was interrupted, and can be gone on with"),
    ],
)
def test_a_run_is_told_from_start_to_end_only_where_it_came_there(
    tmp_path: Path, status: RunStatus, told: str
) -> None:
    with JournalWriter(tmp_path, "driver") as journal:
        journal.run({"key": "a/b", "tags": {}})
        journal.store("storage")

    assert interrupted_text(read_outline(tmp_path), status) == told


def test_what_happened_to_a_run_is_told_from_its_journal(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "driver") as journal:
        journal.run({"key": "a/b", "tags": {}})
        journal.store("storage")
        journal.status("KILLED")
        journal.store("storage")
        journal.status("RUNNING")
    with JournalWriter(tmp_path, "attempts") as attempts:
        attempts.tags({"distrain.workers_by_attempt": "4"})
        attempts.tags({"distrain.workers_by_attempt": "4, 2"})
        attempts.note("training goes on with 2 workers instead of 4")

    assert interrupted_text(read_outline(tmp_path), "finished") == (
        "gone on with once; workers by attempt: 4, 2; training goes on with 2 workers instead of 4"
    )


def test_of_values_that_changed_those_at_the_end_are_told() -> None:
    changes = [{"step": step, "values": {"lr": lr}} for step, lr in ((50, 0.2), (1200, 0.3))]

    assert assignment_text({"lr": 0.1, "train.changes": changes}) == (
        "`lr` = 0.3; changed 2 times, between step 50 and 1,200"
    )

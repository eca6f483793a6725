"""What a run's folder says of it, and what speaks against going on with it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.errors import ConfigError, ModelError, TrainError
from distrain.evaluate.goals import GoalOutcome
from distrain.results import TrainResult
from distrain.run_facts import how_to_go_on
from distrain.run_folder import write_result
from distrain.stored_run import (
    check_args,
    check_model,
    check_writable,
    differing_circumstances,
    read_stored_run,
)
from distrain.track.model_versions import RegisteredVersion
from distrain.track.origin import MODEL_ARGS_TAG
from tests.started_run import STARTED, make_run

RESULT = TrainResult(
    status="finished",
    run_id="f" * 32,
    run_dir=Path("/runs/a/r"),
    epoch=5,
    step=40,
    metrics={"test/loss": 0.5, "test/roc_auc": math.nan},
    weights_sha256="a" * 64,
    samples_per_second=None,
    num_workers=2,
    dataset_digest="d" * 64,
    model=RegisteredVersion("a", "3", None),
    goals=(GoalOutcome("test/loss", "< 1", 0.5, True),),
    resumed_from_step=None,
    tracking="complete",
)


def test_a_run_is_read_as_it_was_started(tmp_path: Path) -> None:
    stored = read_stored_run(make_run(tmp_path), ["train.num_workers=3"])

    assert stored.settings.train.epochs == 5
    assert stored.settings.train.num_workers == 3
    assert list(stored.changed) == ["train.num_workers"]
    assert stored.started == STARTED
    assert stored.result is None
    assert not stored.is_done


def test_a_run_whose_storage_was_moved_goes_on_where_it_lies(tmp_path: Path) -> None:
    make_run(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")

    stored = read_stored_run(tmp_path / "new" / "a" / "r", [])

    assert stored.settings.storage == str(tmp_path / "new")
    assert stored.changed == {}


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    failed = replace(RESULT, run_dir=run_dir, error=TrainError("no", where="step 3"))
    write_result(run_dir, failed.to_json())

    stored = read_stored_run(run_dir, []).result

    assert stored is not None
    assert json.dumps(stored.to_json()) == json.dumps(failed.to_json())
    assert isinstance(stored.error, TrainError)


@pytest.mark.parametrize(
    ("changes", "overrides", "is_done"),
    [
        ({}, [], True),
        ({"status": "stopped_early"}, [], True),
        ({}, ["train.num_workers=1"], True),
        ({}, ["track.every_steps=7"], True),
        ({}, ["train.epochs=6"], False),
        ({}, ["track.register.alias=champion"], False),
        ({}, ["track.uri=http://127.0.0.1:1"], False),
        ({"status": "stopped_early"}, ["train.max_time_s=60"], False),
        ({"tracking": "pending"}, [], False),
        ({"model": None}, [], False),
        ({"status": "failed"}, [], False),
        ({"status": "interrupted"}, [], False),
    ],
)
def test_a_run_is_done_when_it_is_trained_and_recorded_to_the_end(
    tmp_path: Path, changes: dict[str, Any], overrides: list[str], is_done: bool
) -> None:
    run_dir = make_run(tmp_path)
    write_result(run_dir, replace(RESULT, **changes).to_json())

    assert read_stored_run(run_dir, overrides).is_done is is_done


def test_a_folder_without_its_start_is_told(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    (run_dir / "started.json").write_text("{")

    with pytest.raises(ConfigError, match="what the run was started with cannot be read"):
        read_stored_run(run_dir, [])


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    check_writable(tmp_path)

    with pytest.raises(ConfigError, match="is not a folder"):
        check_writable(Path("/dev/null"))


def test_the_same_parameters_are_the_same_model() -> None:
    check_model(STARTED, {"0.bias": [4], "0.weight": [4, 6]})


def test_another_architecture_is_refused_with_what_differs() -> None:
    with pytest.raises(ModelError) as raised:
        check_model(STARTED, {"0.weight": [8, 6], "1.bias": [2]})

    told = str(raised.value)
    assert "0.weight [4, 6] became [8, 6], 0.bias [4] is gone, 1.bias [2] is new" in told


def test_mended_code_and_another_environment_are_told_and_not_refused() -> None:
    tags = {**STARTED.tags, "distrain.code.sha256": "e" * 64, "distrain.env": "a 1, b 3"}

    assert differing_circumstances(STARTED, tags) == [
        "the code, distrain's or your own, is not what the run was started with",
        "the environment is not what the run was started with: b 2 became b 3",
    ]


def test_the_command_to_go_on_names_the_folder_as_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert how_to_go_on(tmp_path / "runs/a b/r") == "go on with: distrain resume 'runs/a b/r'"
    assert how_to_go_on(Path("/else/r")) == "go on with: distrain resume /else/r"


def test_the_storage_that_it_lies_in_may_be_named(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)

    words = [f"storage={tmp_path}", "train.num_workers=3"]
    assert list(read_stored_run(run_dir, words).changed) == ["train.num_workers"]
    with pytest.raises(ConfigError, match="storage"):
        read_stored_run(run_dir, [f"storage={tmp_path / 'elsewhere'}"])


def test_other_variables_in_the_model_s_args_are_refused() -> None:
    check_args(STARTED, "b" * 64)  # as an earlier version has started it
    with_variables = replace(STARTED, tags={**STARTED.tags, MODEL_ARGS_TAG: "a" * 64})
    check_args(with_variables, "a" * 64)
    with pytest.raises(ConfigError, match=r"model.args: with the variables of this environment"):
        check_args(with_variables, "b" * 64)

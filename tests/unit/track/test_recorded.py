"""What a run's folder tells of it when it is to be made again."""

import math
import shutil
from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.track.journal import JournalWriter
from distrain.track.lineage_folder import write_lineage
from distrain.track.origin import LINEAGE_TAG, STEPS_TAG, WEIGHTS_TAG
from distrain.track.recorded import of_folder, values_of


def write(run_dir: Path, config: str) -> str:
    return write_lineage(
        run_dir / "lineage",
        config=config,
        manifest={"digest": "d" * 64},
        user_code=[],
        machine={},
    )


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of 4 steps that was resumed, and computed its third step again."""
    run_dir = tmp_path / "a" / "r"
    sha = write(run_dir, "train: {epochs: 2}\n")
    (run_dir / "config.yaml").write_text("train: {epochs: 2}\n")
    with JournalWriter(run_dir / "journal", "driver") as driver:
        driver.run({"experiment": "a", "key": "a/r", "name": "r", "tags": {LINEAGE_TAG: sha}})
        driver.params({"train.epochs": "2"})
        driver.metrics(4, {"model/num_parameters": 9.0})
        driver.tags({WEIGHTS_TAG: "f" * 64, STEPS_TAG: "4", "distrain.outcome": "finished"})
    for steps in ((1, 2, 3), (3, 4)):
        with JournalWriter(run_dir / "journal", "rank0") as rank_zero:
            for step in steps:
                rank_zero.metrics(step, {"train/loss": step + len(steps) / 10, "time/data_s": 1.0})
            rank_zero.metrics(4, {"test/roc_auc": math.nan})
    return run_dir


def test_a_run_is_read_from_its_folder_the_first_value_of_a_step_standing(run_dir: Path) -> None:
    found = of_folder(run_dir, {}, None)

    test = found.values[4, "test/roc_auc"]
    losses = {key: value for key, value in found.values.items() if key[1] == "train/loss"}
    assert losses == {
        (1, "train/loss"): 1.3,
        (2, "train/loss"): 2.3,
        (3, "train/loss"): 3.3,
        (4, "train/loss"): 4.2,
    }
    assert math.isnan(test)
    assert len(found.values) == 5
    assert values_of(run_dir / "journal").keys() == found.values.keys()
    assert (found.key, found.num_steps, found.weights_sha256) == ("a/r", 4, "f" * 64)
    assert found.params == {"train.epochs": "2"}
    assert (found.lineage, found.config_copy) == (run_dir / "lineage", run_dir / "config.yaml")
    assert not found.has_other_means


def test_a_version_from_before_a_run_was_made_longer_has_the_lineage_of_then(
    run_dir: Path,
) -> None:
    first = of_folder(run_dir, {}, None).tags[LINEAGE_TAG]
    longer = write(run_dir, "train: {epochs: 9}\n")
    with JournalWriter(run_dir / "journal", "driver") as driver:
        driver.tags({LINEAGE_TAG: longer, STEPS_TAG: "18", WEIGHTS_TAG: "e" * 64})
        driver.tags({"distrain.resume.2": "train.epochs: 2 -> 9; track.every_steps: 10 -> 1"})

    version = of_folder(run_dir, {LINEAGE_TAG: first, STEPS_TAG: "4", WEIGHTS_TAG: "f" * 64}, None)
    last = of_folder(run_dir, {}, None)

    assert (version.lineage / "config.yaml").read_text() == "train: {epochs: 2}\n"
    assert version.config_copy is None
    assert (version.num_steps, last.num_steps) == (4, 18)
    assert last.lineage == run_dir / "lineage"
    assert last.has_other_means


def test_a_run_of_an_earlier_version_is_told_to_keep_too_little(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing tells what it was made from"):
        of_folder(tmp_path, {}, None)


def test_a_run_that_goes_on_has_no_end_of_its_own_yet(run_dir: Path) -> None:
    longer = write(run_dir, "train: {epochs: 9}\n")
    with JournalWriter(run_dir / "journal", "driver") as driver:
        void = dict.fromkeys((WEIGHTS_TAG, STEPS_TAG), "none")
        driver.tags({LINEAGE_TAG: longer, "distrain.outcome": "running", **void})

    found = of_folder(run_dir, {}, None)

    assert (found.weights_sha256, found.num_steps) == (None, 4)


def test_a_lineage_that_was_removed_is_not_an_earlier_version_s(run_dir: Path) -> None:
    shutil.rmtree(run_dir / "lineage")

    with pytest.raises(ConfigError, match=r"made from is gone.* Put it back"):
        of_folder(run_dir, {}, None)

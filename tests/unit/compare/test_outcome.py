"""What came of runs: what is not the same, and every metric of the test split."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from distrain.compare.intervals import Measured
from distrain.compare.outcome import Outcome, outcomes
from distrain.compare.sides import Side, find_sides
from distrain.past.story import WORKERS_TAG
from distrain.run_folder import write_result
from distrain.track.journal import JournalWriter
from distrain.track.runs import result_of
from tests.compared_runs import MadeRuns

NOTHING = Measured(({}, {}), ({}, {}), ())


@pytest.fixture
def made(tmp_path: Path) -> MadeRuns:
    return MadeRuns(tmp_path)


def by_name(sides: list[Side]) -> dict[str, Outcome]:
    return {outcome.what: outcome for outcome in outcomes(sides, NOTHING, ())}


def test_what_is_the_same_is_left_out_but_for_test_metrics(made: MadeRuns) -> None:
    made.run("r1", {"test/accuracy": 0.9, "validation/accuracy": 0.8, "train/loss": 0.5})
    made.run("r2", {"test/accuracy": 0.9, "validation/accuracy": 0.8, "train/loss": 0.4})

    found = by_name(find_sides(["r1", "r2"], made.storage, ExitStack()))

    assert {"test/accuracy", "train/loss", "weights"} <= set(found)
    assert not {"validation/accuracy", "status", "epochs", "rows per second"} & set(found)
    assert found["test/accuracy"].best is None


def test_the_better_value_is_known_by_its_metric(made: MadeRuns) -> None:
    made.run("r1", {"test/accuracy": 0.9, "test/loss": 0.3, "model/num_parameters": 5.0})
    made.run("r2", {"test/accuracy": 0.8, "test/loss": 0.2, "model/num_parameters": 6.0})

    found = by_name(find_sides(["r1", "r2"], made.storage, ExitStack()))

    assert [found[name].best for name in ("test/accuracy", "test/loss")] == [0, 1]


def test_a_run_that_failed_is_told_with_its_error(made: MadeRuns) -> None:
    made.run("r1")
    run_dir = made.run("r2")
    error = {"kind": "train", "message": "loss is nan", "where": "", "expected": "", "mend": ""}
    write_result(run_dir, {**result_of(run_dir), "status": "failed", "error": error})

    found = by_name(find_sides(["r1", "r2"], made.storage, ExitStack()))

    assert found["status"].values == ("finished", "failed")
    assert found["error"].values == (None, "loss is nan")


def test_a_run_without_a_result_is_unfinished(made: MadeRuns) -> None:
    made.run("r1")
    run_dir = made.run("r2")
    (run_dir / "result.json").unlink()

    assert by_name(find_sides(["r1", "r2"], made.storage, ExitStack()))["status"].values == (
        "finished", "unfinished",
    )  # fmt: skip


def test_searches_are_told_by_their_trials_and_the_best_one_s_values(made: MadeRuns) -> None:
    for name, lr in (("s1", 0.01), ("s2", 0.02)):
        config = {"train.optimizer.lr": lr, "model.hidden": [64]}
        metrics = {"test/loss": 10 * lr}
        made.search(name, {"trial": 3, "run_id": None, "config": config, "metrics": metrics})

    found = by_name(find_sides(["s1", "s2"], made.storage, ExitStack()))

    assert found["train.optimizer.lr"].values == (0.01, 0.02)
    assert found["test/loss"].values == (0.1, 0.2)
    assert "model.hidden" not in found
    assert "best trial" not in found


def test_attempts_at_training_are_told_apart_from_commands(made: MadeRuns) -> None:
    for name, num_commands, num_attempts in (("r1", 1, 3), ("r2", 2, 2)):
        journal = made.run(name) / "journal"
        with JournalWriter(journal, "driver") as driver:
            for _ in range(1, num_commands):  # beside the one that has made it
                driver.store("storage")
        with JournalWriter(journal, "attempts") as attempts:
            for number in range(1, num_attempts + 1):
                attempts.tags({WORKERS_TAG: ",".join(["2"] * number)})

    found = by_name(find_sides(["r1", "r2"], made.storage, ExitStack()))

    assert found["commands"].values == (1, 2)
    assert found["attempts"].values == (3, 2)

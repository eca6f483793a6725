"""Intervals of test metrics, from models that predict their test rows again."""

import math
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from distrain.compare import measured as measuring
from distrain.compare.comparing import compared
from distrain.compare.intervals import Measured
from distrain.compare.measured import measure
from distrain.compare.sides import find_sides
from distrain.display import NoDisplay
from distrain.finish import MODEL_FOLDER, PACKAGED
from distrain.track.packaged import WEIGHTS, Predictor
from tests.compared_runs import MadeRuns
from tests.s3_server import S3Server

ACCURACY = "test/accuracy"


def accuracy_of(made: MadeRuns, run_dir: Path) -> float:
    rows = made.prepare().split("test")
    found = rows.slice(0, rows.num_rows)
    outputs = Predictor.load(run_dir / MODEL_FOLDER / PACKAGED).outputs(found["x"])
    return float((outputs.argmax(axis=1) == found["y"]).mean())


@pytest.fixture
def made(tmp_path: Path) -> MadeRuns:
    """Two runs with models that differ, and their measured accuracies."""
    made = MadeRuns(tmp_path)
    for name, seed in (("r1", 1), ("r2", 2)):
        folder = made.run(name)
        made.package(folder, seed)
        made.run(name, {ACCURACY: accuracy_of(made, folder), "test/loss": 1.0})
    return made


def measured(made: MadeRuns, *names: str) -> Measured:
    return measure(find_sides(names, made.storage, ExitStack()))


def test_runs_with_the_same_test_rows_are_compared_row_by_row(made: MadeRuns) -> None:
    first, second = find_sides(["r1", "r2"], made.storage, ExitStack())

    found = measured(made, "r1", "r2")

    gain = found.gains[1][ACCURACY]
    assert (gain.candidate, gain.holder) == (second.metrics[ACCURACY], first.metrics[ACCURACY])
    assert gain.num_rows == 80
    assert gain.low < gain.gain < gain.high
    assert found.gains[0] == {}
    for side, known in zip((first, second), found.intervals, strict=True):
        low, high = known[ACCURACY]
        assert low < side.metrics[ACCURACY] < high
        assert set(known) == {ACCURACY}  # predictions do not tell the loss
    assert "paired, on the same 80 test rows" in found.notes[0]


def test_runs_at_a_store_are_compared_as_those_in_folders(
    made: MadeRuns, account: None, server: S3Server
) -> None:
    storage = server.place(f"compared/{made.folder.name}")
    made.put(storage)
    display = NoDisplay()

    with compared(["r1", "r2"], storage=made.storage, display=display) as result:
        here = result.to_json()
    uris = [storage.below(f"a/{name}").uri for name in ("r1", "r2")]
    with compared([uris[0], "r2"], storage=Path(storage.uri), display=display) as result:
        there = result.to_json()

    assert [run.pop("run_dir") for run in there["runs"]] == uris
    assert [Path(run.pop("run_dir")).name for run in here["runs"]] == ["r1", "r2"]
    assert there == here
    assert "paired, on the same 80 test rows" in there["notes"][0]


def test_of_a_search_at_a_store_the_winner_s_model_stands_for_it(
    made: MadeRuns, account: None, server: S3Server
) -> None:
    for number, name in ((3, "s1"), (4, "s2")):
        best = {"trial": number, "run_id": None, "config": {}, "metrics": {ACCURACY: 0.5}}
        made.search(name, best)
        made.package(made.run(f"{name}-{number:04d}"), number)
    storage = server.place(f"compared/{made.folder.name}")
    made.put(storage)

    with ExitStack() as opened:
        found = measure(find_sides(["s1", "s2"], Path(storage.uri), opened))

    assert ACCURACY in found.gains[1]


def test_of_other_test_rows_each_has_its_own_interval(made: MadeRuns) -> None:
    made.rows["test"] = 90
    folder = made.run("r3")
    made.package(folder, 3)
    made.run("r3", {ACCURACY: accuracy_of(made, folder)})

    found = measured(made, "r1", "r3")

    assert found.gains == ({}, {})
    assert all(ACCURACY in known for known in found.intervals)
    assert found.notes == ("B was tested on other rows than A", "intervals are of 95 %")


def test_without_a_model_accuracy_has_the_interval_of_its_rows(tmp_path: Path) -> None:
    made = MadeRuns(tmp_path)
    made.run("r1", {ACCURACY: 0.5, "test/roc_auc": 0.7})
    made.run("r2", {})

    found = measured(made, "r1", "r2")

    low, high = found.intervals[0][ACCURACY]
    assert math.isclose(low, 0.386, abs_tol=1e-3)  # 40 of 80, Clopper and Pearson
    assert math.isclose(high, 0.614, abs_tol=1e-3)
    assert set(found.intervals[0]) == {ACCURACY}
    assert found.notes[0] == "A is not predicted again: it has no model"


def test_a_model_that_cannot_be_loaded_costs_its_interval_and_not_the_comparison(
    made: MadeRuns,
) -> None:
    path = made.storage / "a" / "r2" / MODEL_FOLDER / PACKAGED / WEIGHTS
    path.write_bytes(path.read_bytes()[:-8])

    found = measured(made, "r1", "r2")

    assert found.gains == ({}, {})
    assert found.notes[0].startswith("B is not predicted again: ")


def test_predictions_that_would_take_long_are_not_made(
    made: MadeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 1000, 30))
    monkeypatch.setattr(measuring, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(measuring, "evaluation_batches", lambda _: [(0, 40), (40, 80)])

    notes = measured(made, "r1", "r2").notes

    assert notes[0] == "A is not predicted again: to predict its 80 test rows would take 60 s"

"""Batch inference on a real Ray."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import distrain.predict
from distrain.errors import ConfigError, DataError
from distrain.predict import PredictResult, plan_prediction, run_prediction
from distrain.predict_blocks import BLOCK_ROWS
from distrain.track.packaged import Predictor, save_source
from distrain.track.tracking_server import TrackingServer
from tests.example_models import people, people_transform, save_example

pytestmark = [
    # Ray 2.60 sets options that it calls deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SERVER = TrackingServer("sqlite:////nowhere/mlflow.db", None, "storage")
PREDICTED = ["prediction", "probability_<=50K", "probability_>50K"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("runs")
    run_dir = storage / "people" / "20250101T120000-aaaaaa"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("name: people\n")
    save_example(run_dir / "model" / "packaged", people_transform())
    return storage


@pytest.fixture(scope="module")
def predictor(storage: Path) -> Predictor:
    return Predictor.load(next(storage.glob("*/*/model/packaged")))


def predict(storage: Path, source: Path, out: Path) -> PredictResult:
    plan = plan_prediction(
        "20250101T120000-aaaaaa", str(source), out, server=SERVER, storage=storage
    )
    return run_prediction(plan)


def write_csv(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(exist_ok=True)
    pyarrow.csv.write_csv(table, path)
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_rows_keep_their_order_columns_and_bits(
    storage: Path, predictor: Predictor, tmp_path: Path
) -> None:
    rows = people(50_001).append_column("code", pa.array([f"0{i}" for i in range(50_001)]))
    bounds = [0, 1, 16_500, 16_900, 50_001]
    for number, start in enumerate(bounds[:-1]):
        part = rows.slice(start, bounds[number + 1] - start)
        write_csv(tmp_path / "raw" / f"{number}.csv", part)

    result = predict(storage, tmp_path / "raw", tmp_path / "out.csv")

    assert result.to_json()["num_rows"] == 50_001
    assert [found["column"] for found in result.to_json()["unlike_training"]] == ["work"]
    found = pd.read_csv(tmp_path / "out.csv", dtype={"code": str}, keep_default_na=False)
    assert found.columns.tolist() == [*rows.column_names, *PREDICTED]
    assert found["code"].tolist() == rows["code"].to_pylist()
    assert found["work"].tolist() == [value or "" for value in rows["work"].to_pylist()]
    expected = predictor.predict(rows)
    for name in PREDICTED:
        assert found[name].tolist() == expected[name].to_pylist()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_a_single_last_row_is_predicted_in_its_batch(
    storage: Path, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distrain.predict, "BLOCK_ROWS", 1024)
    rows = people(2049)
    pyarrow.parquet.write_table(rows, tmp_path / "rows.parquet")

    predict(storage, tmp_path / "rows.parquet", tmp_path / "out.parquet")

    found = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    expected = predictor.predict(rows)
    assert found.select(rows.column_names).equals(rows)
    assert found.select(PREDICTED).equals(expected.select(PREDICTED))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_the_target_may_be_absent_and_lines_of_json_come_out(
    storage: Path, predictor: Predictor, tmp_path: Path
) -> None:
    rows = people(7).drop_columns(["income"])
    source = write_csv(tmp_path / "rows.csv", rows)
    predict(storage, source, tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    expected = predictor.predict(rows).to_pylist()
    assert [{name: line[name] for name in expected[0]} for line in lines] == expected


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_files_are_read_as_the_training_data_was(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "people" / "r1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    save_example(folder / "model", people_transform())
    names = ["person", "age", "hours", "work", "income"]
    save_source(folder / "model", "csv", {"header": False, "names": names, "delimiter": ";"})
    (tmp_path / "rows.data").write_text("p0;30;40.0; Private;?\np1;?;20.5;?;>50K\n")
    plan = plan_prediction(
        str(folder),
        str(tmp_path / "rows.data"),
        tmp_path / "o.csv",
        server=SERVER,
        storage=tmp_path,
    )
    run_prediction(plan)
    expected = Predictor.load(folder / "model").predict(
        [
            {"person": "p0", "age": 30, "hours": 40.0, "work": "Private"},
            {"person": "p1", "age": None, "hours": 20.5, "work": None},
        ]
    )
    found = pd.read_csv(tmp_path / "o.csv")
    assert found["probability_>50K"].tolist() == expected["probability_>50K"].to_pylist()


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_a_value_that_cannot_be_leaves_nothing(storage: Path, tmp_path: Path) -> None:
    lines = ["person,age,hours,work", *(f"p{i},30,40.0,Private" for i in range(200_000))]
    lines.append("p,thirty,40.0,Private")
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="'thirty'"):
        predict(storage, tmp_path / "rows.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def plan(storage: Path, **changed: Any) -> None:
    asked = {"model": "20250101T120000-aaaaaa", **changed}
    out = asked.pop("out")
    plan_prediction(asked["model"], str(asked["source"]), out, server=SERVER, storage=storage)


def test_missing_columns_are_told_before_anything_starts(storage: Path, tmp_path: Path) -> None:
    rows = people(3).rename_columns(["person", "agee", "hours", "work", "income"])
    source = write_csv(tmp_path / "rows.csv", rows)
    with pytest.raises(DataError, match=r"'age' missing.*Did you mean 'agee'"):
        plan(storage, source=source, out=tmp_path / "out.csv")


def test_a_column_that_is_named_like_a_prediction_is_told(storage: Path, tmp_path: Path) -> None:
    rows = people(3).append_column("prediction", pa.array([1, 2, 3]))
    source = write_csv(tmp_path / "rows.csv", rows)
    with pytest.raises(DataError, match="has a column 'prediction' already"):
        plan(storage, source=source, out=tmp_path / "out.csv")


def test_nothing_is_overwritten(storage: Path, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", people(3))
    with pytest.raises(ConfigError, match="there already"):
        plan(storage, source=source, out=source)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("models:/people@champion", "nothing is recorded there"),
        ("20250101T120000-aaaaab", "Did you mean '20250101T120000-aaaaaa'"),
        ("people", "no run 'people'"),
    ],
)
def test_a_model_that_is_not_there_is_told(
    storage: Path, tmp_path: Path, model: str, message: str
) -> None:
    source = write_csv(tmp_path / "rows.csv", people(3))
    with pytest.raises(ConfigError, match=message):
        plan(storage, model=model, source=source, out=tmp_path / "out.csv")


def test_a_run_without_a_model_is_told(tmp_path: Path) -> None:
    run_dir = tmp_path / "people" / "r1"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").touch()
    source = write_csv(tmp_path / "rows.csv", people(3))
    with pytest.raises(ConfigError, match=r"no distrain model here.*Was the run finished"):
        plan(tmp_path, model="r1", source=source, out=tmp_path / "out.csv")


ON_A_GPU = """
import sys
from pathlib import Path
import ray
from distrain.predict import plan_prediction, run_prediction
from distrain.ray_token import ensure_token
from distrain.track.tracking_server import TrackingServer

ensure_token()
ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
storage, source, out = map(Path, sys.argv[1:])
server = TrackingServer("sqlite:////nowhere/mlflow.db", None, "storage")
plan = plan_prediction("r1", str(source), out, server=server, storage=storage)
print(run_prediction(plan).num_rows)
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_worker_on_a_gpu_keeps_the_order_of_rows(tmp_path: Path) -> None:
    # Ray is told of a GPU; where none is there, its worker computes on the CPU.
    folder = tmp_path / "runs" / "people" / "r1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    save_example(folder / "model", people_transform())
    rows = people(3 * BLOCK_ROWS + 5)
    pyarrow.parquet.write_table(rows, tmp_path / "rows.parquet")
    words = [tmp_path / "runs", tmp_path / "rows.parquet", tmp_path / "out.parquet"]

    done = subprocess.run(
        [sys.executable, "-c", ON_A_GPU, *map(str, words)], capture_output=True, check=False
    )

    assert done.stdout.decode().strip() == str(rows.num_rows), done.stderr.decode()[-2_000:]
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert found.select(rows.column_names).equals(rows)
    expected = Predictor.load(folder / "model").predict(rows)["probability_>50K"].to_numpy()
    np.testing.assert_allclose(found["probability_>50K"].to_numpy(), expected, atol=1e-5)

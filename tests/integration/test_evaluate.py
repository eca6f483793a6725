"""A model measured on new labelled data, on a real Ray."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from sklearn import metrics as sk

from distrain.assess import EvaluateResult, assess
from distrain.errors import DataError
from distrain.predict import rows_to_predict
from distrain.track.packaged import Predictor, save_source
from distrain.track.tracking_server import TrackingServer
from tests.example_models import house_transform, people, people_transform, save_example

pytestmark = [
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SERVER = TrackingServer("sqlite:////nowhere/mlflow.db", None, "storage")
RUN = "20250101T120000-aaaaaa"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    run_dir = tmp_path / "runs" / "people" / RUN
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("name: people\n")
    return tmp_path / "runs"


def evaluate(storage: Path, table: pa.Table) -> EvaluateResult:
    source = storage.parent / "labelled.csv"
    pa.csv.write_csv(table, source)
    return assess(
        rows_to_predict(RUN, str(source), server=SERVER, storage=storage, has_targets=True)
    )


@pytest.mark.usefixtures("ray_local")
def test_metrics_are_those_of_the_predictions_and_rows_without_a_target_do_not_count(
    storage: Path,
) -> None:
    folder = save_example(storage / "people" / RUN / "model" / "packaged", people_transform())
    save_source(folder, "csv", {"na_values": ["", "?"]})
    rows = people(5_000)
    labels = [
        None if row % 10 == 0 else label for row, label in enumerate(rows["income"].to_pylist())
    ]
    result = evaluate(storage, rows.set_column(4, "income", pa.array(labels)))

    predicted = Predictor.load(folder).predict(rows)
    kept = [row for row, label in enumerate(labels) if label is not None]
    true = [labels[row] == ">50K" for row in kept]
    chance = predicted["probability_>50K"].take(pa.array(kept)).to_numpy()
    assert result.num_rows == 4_500
    assert result.metrics["accuracy"] == sk.accuracy_score(
        [labels[row] for row in kept], predicted["prediction"].take(pa.array(kept)).to_pylist()
    )
    assert result.metrics["roc_auc"] == sk.roc_auc_score(true, chance)
    assert set(result.metrics) >= {"f1", "log_loss", "average_precision"}
    assert list(result.to_json()) == ["metrics", "num_rows"]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
def test_values_are_measured_in_their_own_unit(storage: Path) -> None:
    folder = save_example(storage / "people" / RUN / "model" / "packaged", house_transform())
    rows = pa.table({"rooms": [3.0, 4.0, 5.0], "price": [1e5, 2e5, 3e5]})
    result = evaluate(storage, rows)
    values = Predictor.load(folder).predict(rows)["prediction"].to_pylist()
    assert result.metrics["mae"] == pytest.approx(
        sum(abs(a - b) for a, b in zip(values, [1e5, 2e5, 3e5], strict=True)) / 3
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["", "", ""], "no row has a value in the target column"),
        (["<=50K", "rich", ">50K"], "'rich' is no class that the model knows"),
    ],
)
def test_labels_that_cannot_be_measured_by_are_told(
    storage: Path, labels: list[str], told: str
) -> None:
    save_example(storage / "people" / RUN / "model" / "packaged", people_transform())
    with pytest.raises(DataError, match=told):
        evaluate(storage, people(3).set_column(4, "income", pa.array(labels)))


def test_data_without_the_target_column_is_refused_before_anything_starts(storage: Path) -> None:
    save_example(storage / "people" / RUN / "model" / "packaged", people_transform())
    with pytest.raises(DataError, match="'income' missing"):
        evaluate(storage, people(3).drop_columns(["income"]))

"""Preparing on a real Ray: the same shards on any number of CPUs, and what a user sees of it."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import ray
from ray.data import DataContext

from distrain import dry_run, pipeline
from distrain.config.data import DataSettings
from distrain.config.load import settings_from_dict
from distrain.data import on_ray, units
from distrain.data.on_ray import data_context, data_error_in, each_run, flat_rows, read_units
from distrain.data.opening import open_source
from distrain.data.prepare import Prepared, find_prepared, prepare
from distrain.data.runs import Run
from distrain.display import NoDisplay
from distrain.errors import ConfigError, DataError

pytestmark = [
    pytest.mark.usefixtures("ray_local"),
    # Ray 2.60 sets options that it calls deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

ADULT_COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country", "income",
]  # fmt: skip
NUM_ROWS = 150_000


@pytest.fixture(scope="module")
def table_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150,000 rows with missing values, categories, repeats and rows without a class."""
    draw = np.random.default_rng(0)
    numbers = draw.standard_normal(NUM_ROWS)
    columns = {
        "a": pa.array(numbers, mask=draw.random(NUM_ROWS) < 0.05),
        "b": pa.array(draw.integers(-5, 5, NUM_ROWS)),
        "c": pa.array(draw.choice(["red", "green", "blue, dark", ""], NUM_ROWS)),
        "label": pa.array(np.where(numbers > 0.5, "yes", "no"), mask=draw.random(NUM_ROWS) < 0.01),
    }
    path = tmp_path_factory.mktemp("table") / "table.csv"
    pyarrow.csv.write_csv(pa.table(columns), path)
    return path


def settings(source: Any, **changes: Any) -> DataSettings:
    return DataSettings.model_validate({"source": source, "target": "label", **changes})


def text_source(folder: Path, text: str, name: str = "a.csv") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


def hashes(prepared: Prepared) -> list[str]:
    return [shard.sha256 for shard in prepared.dataset.shards()]


def finding(prepared: Prepared, kind: str) -> dict[str, Any]:
    return next(found for found in prepared.findings if found["kind"] == kind)


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Leave one of the 4 CPUs to the test."""

    @ray.remote(num_cpus=3)
    class Holder:
        def is_there(self) -> bool:
            return True

    holder = Holder.remote()  # type: ignore[attr-defined]  # Ray's decorator adds it
    assert ray.get(holder.is_there.remote())
    yield
    ray.kill(holder)


@pytest.fixture(scope="module")
def prepared_table(
    ray_local: str, table_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> Prepared:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "UNIT_BYTES", 2 * 2**20)
        return prepare(settings(str(table_csv)), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 2 * 2**20)


@pytest.mark.slow
def test_every_labelled_row_is_in_one_split(prepared_table: Prepared) -> None:
    missing = finding(prepared_table, "missing-target")["count"]
    rows = prepared_table.rows
    assert sum(rows.values()) == NUM_ROWS - missing
    assert rows["validation"] == (NUM_ROWS - missing) // 10
    assert abs(rows["test"] - rows["validation"]) <= 1
    assert len(prepared_table.dataset.manifest["splits"]["train"]["shards"]) > 2


@pytest.mark.slow
def test_features_are_scaled_on_the_training_rows(prepared_table: Prepared) -> None:
    train = prepared_table.dataset.split("train")
    x = train.slice(0, train.num_rows)["x"].astype(np.float64)
    transform = prepared_table.dataset.transform
    names = transform.feature_names
    assert names[:3] == ["a", "a is missing", "b"]
    assert set(names[3:6]) == {"c = blue, dark", "c = green", "c = red"}
    assert names[6:] == ["c is other", "c is missing"]
    present = x[:, 1] == 0
    assert abs(x[present, 0].mean()) < 1e-6
    assert abs(x[present, 0].std() - 1) < 1e-6
    assert abs(x[:, 2].mean()) < 1e-6
    assert (x[:, 3:].sum(axis=1) == 1).all()


@pytest.mark.slow
@pytest.mark.usefixtures("small_units")
def test_remote_storage_gets_the_shards_that_a_folder_gets(
    prepared_table: Prepared, table_csv: Path, tmp_path: Path
) -> None:
    uri = f"fsspec+local://{tmp_path}/remote"
    asked = settings(str(table_csv), cache={"path": uri, "local_path": str(tmp_path / "local")})
    made = prepare(asked, cache=uri)
    again = prepare(asked, cache=uri)
    assert (made.reused, again.reused) == (False, True)
    assert made.digest == again.digest == prepared_table.digest
    assert hashes(made) == hashes(prepared_table)
    assert again.dataset.path == f"{uri}/{made.digest}"
    rows = prepared_table.dataset.split("test").slice(100, 200)["x"]
    assert np.array_equal(again.dataset.split("test").slice(100, 200)["x"], rows)
    assert sorted(path.name for path in (tmp_path / "remote").iterdir()) == [made.digest, "index"]


@pytest.mark.usefixtures("small_units")
def test_remote_storage_that_cannot_be_written_is_told(table_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "remote").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be (read|written) .*data\.cache\.path"):
        prepare(settings(str(table_csv)), cache=f"fsspec+local://{tmp_path}/remote")


@pytest.mark.slow
def test_shards_are_equal_on_one_cpu(
    prepared_table: Prepared, table_csv: Path, tmp_path: Path, small_units: None, one_cpu: None
) -> None:
    again = prepare(settings(str(table_csv)), cache=tmp_path)
    assert hashes(again) == hashes(prepared_table)
    assert again.digest == prepared_table.digest


@pytest.mark.slow
@pytest.mark.parametrize("block_bytes", [2**10, 2**30])
def test_shards_do_not_depend_on_blocks(
    prepared_table: Prepared,
    table_csv: Path,
    tmp_path: Path,
    small_units: None,
    monkeypatch: pytest.MonkeyPatch,
    block_bytes: int,
) -> None:
    monkeypatch.setattr(on_ray, "_BLOCK_BYTES", block_bytes)
    again = prepare(settings(str(table_csv)), cache=tmp_path)
    assert hashes(again) == hashes(prepared_table)


@pytest.mark.slow
def test_shards_are_equal_when_the_source_is_read_again_for_each_pass(
    prepared_table: Prepared,
    table_csv: Path,
    tmp_path: Path,
    small_units: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distrain.data.scanning.fits_in_object_store", lambda _: False)
    again = prepare(settings(str(table_csv)), cache=tmp_path)
    assert hashes(again) == hashes(prepared_table)


@pytest.mark.slow
def test_unchanged_source_is_not_read_again(
    prepared_table: Prepared, table_csv: Path, small_units: None
) -> None:
    cache = prepared_table.dataset.path.parent
    again = prepare(settings(str(table_csv)), cache=cache)
    found = find_prepared(settings(str(table_csv)), cache=cache)
    assert again.reused
    assert found is not None
    assert found.digest == again.digest == prepared_table.digest


@pytest.mark.slow
def test_touched_source_leads_to_the_same_dataset(
    prepared_table: Prepared, table_csv: Path, small_units: None
) -> None:
    os.utime(table_csv)
    cache = prepared_table.dataset.path.parent
    assert find_prepared(settings(str(table_csv)), cache=cache) is None
    again = prepare(settings(str(table_csv)), cache=cache)
    assert again.reused
    assert again.digest == prepared_table.digest
    assert find_prepared(settings(str(table_csv)), cache=cache) is not None


@pytest.mark.slow
def test_other_recipe_or_content_leads_to_another_dataset(tmp_path: Path) -> None:
    source = text_source(tmp_path, "a,label\n" + "1,x\n2,y\n" * 30)
    first = prepare(settings(source), cache=tmp_path / "cache")
    other = prepare(settings(source, split={"seed": 1}), cache=tmp_path / "cache")
    text_source(tmp_path, "a,label\n" + "1,x\n3,y\n" * 30)
    changed = prepare(settings(source), cache=tmp_path / "cache")
    assert len({first.digest, other.digest, changed.digest}) == 3
    assert not changed.reused


def test_two_at_once_prepare_once(tmp_path: Path) -> None:
    source = text_source(tmp_path, "a,label\n" + "1,x\n2,y\n" * 30)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(prepare, settings(source), cache=tmp_path / "c") for _ in "ab"]
        done = [future.result() for future in futures]
    assert sorted(prepared.reused for prepared in done) == [False, True]


def test_global_context_of_ray_data_is_left_as_it_was(tmp_path: Path) -> None:
    before = DataContext.get_current().copy()
    prepare(settings(text_source(tmp_path, "a,label\n1,x\n2,y\n3,y\n")), cache=tmp_path / "c")
    after = DataContext.get_current()
    assert after.execution_options == before.execution_options
    assert after.target_max_block_size == before.target_max_block_size
    assert after.enable_progress_bars == before.enable_progress_bars


def test_source_with_test_rows_beside_a_test_source_is_told(tmp_path: Path) -> None:
    source = text_source(tmp_path, "a,p,label\n1,train,x\n2,test,y\n3,train,y\n")
    both = settings(source, test_source=source, split={"kind": "fixed", "column": "p"})
    with pytest.raises(DataError, match=r"1 rows are marked 'test', beside a data\.test_source"):
        prepare(both, cache=tmp_path / "c")


def test_test_source_is_read_as_the_training_rows_were(tmp_path: Path) -> None:
    body = "".join(f"{row % 9 / 2},k{row % 3},n{row},{'xy'[row % 2]}\n" for row in range(90))
    source = text_source(tmp_path, "a,c,key,label\n" + body)
    test = text_source(tmp_path, "extra,label,key,c,a\n?,y,5,k1,1\n?,x,6,k9,\n?,,7,k1,2\n", "t.csv")
    prepared = prepare(settings(source, test_source=test), cache=tmp_path / "c")
    rows = prepared.dataset.split("test").slice(0, 2)
    transform = prepared.dataset.transform
    assert prepared.rows == {"train": 81, "validation": 9, "test": 2}
    assert rows["y"].tolist() == [1, 0]
    names = transform.feature_names
    assert names[0] == "a"
    assert set(names[1:]) == {"c = k0", "c = k1", "c = k2", "c is other"}
    set_places = [names[1:][place] for place in rows["x"][:, 1:].argmax(axis=1)]
    assert set_places == ["c = k1", "c is other"]
    assert finding(prepared, "missing-target")["count"] == 1


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        (
            "a,label\n" + "1,x\n" * 1_200_000 + "1,x,2\n",
            {},
            r"a\.csv:1200002: the record has 3 field",
        ),
        ("a,label\n" + "1,x\n" * 1_200_000, {}, "one class: 'x'"),
        (
            "a,w,label\n" + "1,1,x\n2,-1,y\n" * 2,
            {"weight": "w"},
            r"weight is negative \(down to -1\)",
        ),
        ("a,w,label\n1,1,x\n2,,y\n3,1,y\n", {"weight": "w"}, "has 1 rows without a value"),
        ("a,label\n1,x\n1,y\n1,y\n", {}, "no feature is left"),
        (
            "a,label\n1,x\n2,y\n2,y\n",
            {"features": {"a": {"kind": "image"}}},
            "images are not read from csv",
        ),
        (
            "a,label\nx,1\n2,0\n3,0\n",
            {"features": {"a": {"kind": "numeric"}}},
            "column 'a', row 1 of .*: 'x' is not a number",
        ),
    ],
    ids=[
        "ragged far in",
        "one class",
        "negative weight",
        "no weight",
        "no feature",
        "no image",
        "no number",
    ],
)
def test_fault_found_in_a_task_comes_whole_and_leaves_nothing(
    tmp_path: Path, text: str, changes: dict[str, Any], told: str
) -> None:
    source = text_source(tmp_path, text)
    with pytest.raises(DataError, match=told):
        prepare(settings(source, **changes), cache=tmp_path / "runs" / "prepared")
    assert not (tmp_path / "runs").exists()


def test_flat_rows_keep_their_order_and_tell_faults(tmp_path: Path, small_units: None) -> None:
    good = text_source(tmp_path, "a\n" + "".join(f"{row}\n" for row in range(500_000)), "g.csv")
    bad = text_source(tmp_path, "a,b\n" + "1,2\n" * 1_200_000 + "1\n", "b.csv")
    with data_context():
        rows = flat_rows(read_units(*units_of(good)))
        assert [row["a"] for row in rows.take_all()] == list(range(500_000))
        faulty = flat_rows(read_units(*units_of(bad)))
        with pytest.raises(ray.exceptions.RayError) as raised:
            faulty.take_all()
    fault = data_error_in(raised.value)
    assert isinstance(fault, DataError)
    assert "b.csv:1200002: the record has 1 field" in str(fault)
    assert data_error_in(ValueError("another")) is None


def units_of(source: str) -> Any:
    opened = open_source(source, None, settings(source).read)
    return units.cut_into_units(opened.listing, opened.reading), opened.reading


@pytest.mark.slow
def test_reading_and_computing_is_one_task_for_each_unit(
    table_csv: Path, small_units: None
) -> None:
    def describe(run: Run) -> tuple[int, int]:
        return os.getpid(), run.table.num_rows

    cut, reading = units_of(str(table_csv))
    with data_context():
        results = list(each_run(read_units(cut, reading), describe, tuple))
    assert [key for key, _ in results] == sorted(key for key, _ in results)
    assert {key[0] for key, _ in results} == set(range(len(cut)))
    assert sum(rows for _, (_, rows) in results) == NUM_ROWS


@pytest.mark.slow
def test_files_that_disagree_on_a_type_are_read_as_text(tmp_path: Path, small_units: None) -> None:
    folder = tmp_path / "parts"
    text_source(folder, "zip,n,label\n" + "01,1,x\n02,2,y\n" * 120_000, "1.csv")
    text_source(folder, "zip,n,label\n" + "A1,0.5,x\n02,,y\n" * 120_000, "2.csv")
    prepared = prepare(settings(str(folder)), cache=tmp_path / "cache")
    transform = prepared.dataset.transform
    assert transform.column_types == {"zip": "string", "n": "double", "label": "string"}
    assert "zip = 01" in transform.feature_names


@pytest.mark.slow
def test_quoted_line_break_in_a_large_file_is_survived(tmp_path: Path, small_units: None) -> None:
    lines = [f"{row},{'x' if row % 2 else 'y'},a\n" for row in range(400_000)]
    for row in range(123_400, 123_450):
        lines[row] = f'{row},y,"a\nb"\n'
    source = text_source(tmp_path, "n,label,w\n" + "".join(lines))
    prepared = prepare(settings(source, features={"n": {"kind": "numeric"}}), cache=tmp_path / "c")
    assert sum(prepared.rows.values()) == 400_000
    assert "w = a\nb" in prepared.dataset.transform.feature_names


def test_cleaning_touches_training_rows_alone(tmp_path: Path) -> None:
    body = "".join(f"{row % 50},{row % 7},{row % 7 * 2}\n" for row in range(3_000))
    source = text_source(tmp_path, "a,b,label\n" + body + "1e6,1,3\n,1,3\n" * 5)
    base = {"task": "regression", "split": {"kind": "random"}}
    plain = prepare(settings(source, **base), cache=tmp_path / "c")
    clean = {"deduplicate": True, "missing": "drop", "outliers": "drop"}
    cleaned = prepare(settings(source, **base, clean=clean), cache=tmp_path / "c")
    assert cleaned.rows["validation"] == plain.rows["validation"]
    assert cleaned.rows["test"] == plain.rows["test"]
    assert cleaned.rows["train"] <= 350
    assert finding(plain, "duplicate-rows")["count"] == 3_010 - 352
    assert finding(cleaned, "outliers")["count"] == 5
    assert not cleaned.dataset.transform.feature_names[1].endswith("is missing")


def test_preparing_asks_for_no_room_for_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distrain.workplace.is_connected", lambda: False)
    source = text_source(tmp_path, "n,label\n" + "1,x\n2,y\n" * 50)
    crowded = settings_from_dict(
        {
            "data": {"source": source, "target": "label"},
            "train": {"num_workers": 64, "logical_shards": 64},
            "storage": str(tmp_path / "runs"),
        }
    )
    with pytest.raises(ConfigError, match="64 workers with 1 CPU each do not fit"):
        dry_run.estimate(crowded)

    assert sum(pipeline.prepare(crowded, NoDisplay()).rows.values()) == 100


def test_outliers_are_clipped_in_training_rows(tmp_path: Path) -> None:
    body = "".join(f"{row % 5},{row % 7}\n" for row in range(2_000)) + "1000,1\n"
    source = text_source(tmp_path, "a,label\n" + body)
    base = {"task": "regression", "split": {"validation": 0, "test": 0}}
    clipped = prepare(settings(source, **base, clean={"outliers": "clip"}), cache=tmp_path / "c")
    kept = prepare(settings(source, **base), cache=tmp_path / "c")
    centers = [
        prepared.dataset.transform.to_json()["features"][0]["center"]
        for prepared in (clipped, kept)
    ]
    assert centers[0] < centers[1]
    assert clipped.rows["train"] == kept.rows["train"] == 2_001


def test_fixed_and_hash_splits_are_followed(tmp_path: Path) -> None:
    parts = ["train", "train", "val", "test"]
    body = "".join(f"{row},{parts[row % 4]},{'xyz'[row % 3]}\n" for row in range(400))
    source = text_source(tmp_path, "g,part,label\n" + body)
    features = {"g": {"kind": "numeric"}}
    fixed = prepare(
        settings(source, split={"kind": "fixed", "column": "part"}, features=features),
        cache=tmp_path / "c",
    )
    assert fixed.rows == {"train": 200, "validation": 100, "test": 100}
    assert fixed.dataset.transform.input_columns == ["g"]
    hashed = prepare(
        settings(source, split={"kind": "hash", "column": "part", "seed": 3}, features=features),
        cache=tmp_path / "c",
    )
    assert all(rows % 100 == 0 for rows in hashed.rows.values())


def test_weights_and_ids_are_kept_apart(tmp_path: Path) -> None:
    body = "".join(f"k{row},{row % 9},{row % 4},{'xy'[row % 2]}\n" for row in range(200))
    source = text_source(tmp_path, "key,a,w,label\n" + body)
    prepared = prepare(settings(source, weight="w"), cache=tmp_path / "c")
    transform = prepared.dataset.transform
    assert transform.id_columns == ["key"]
    assert transform.input_columns == ["a"]
    train = prepared.dataset.split("train")
    assert train.slice(0, train.num_rows)["weight"].dtype == np.float32
    assert finding(prepared, "id-like-column")["column"] == "key"


def test_several_targets_are_regressed(tmp_path: Path) -> None:
    body = "".join(f"{row % 13},{row},{row * row}\n" for row in range(300))
    source = text_source(tmp_path, "a,u,v\n" + body)
    prepared = prepare(settings(source, target=["u", "v"]), cache=tmp_path / "c")
    test = prepared.dataset.split("test")
    rows = test.slice(0, test.num_rows)
    assert rows["y"].shape == rows["target"].shape == (30, 2)
    transform = prepared.dataset.transform
    decoded = transform.decode(rows["y"])
    assert np.allclose(decoded["prediction_v"].to_numpy(), rows["target"][:, 1], atol=0.1)


def test_parquet_and_csv_of_the_same_rows_give_the_same_shards(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    columns = {"a": draw.standard_normal(3_000), "c": draw.choice(["u", "v"], 3_000)}
    table = pa.table({**columns, "label": draw.choice(["x", "y"], 3_000)})
    pyarrow.csv.write_csv(table, tmp_path / "a.csv")
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    both = [
        prepare(settings(str(tmp_path / name)), cache=tmp_path / "c")
        for name in ("a.csv", "a.parquet")
    ]
    assert hashes(both[0]) == hashes(both[1])


def test_digits_are_prepared_as_images(tmp_path: Path) -> None:
    prepared = prepare(DataSettings(source="sklearn:digits", target="target"), cache=tmp_path / "c")
    transform = prepared.dataset.transform
    assert transform.classes == list(range(10))
    assert transform.input_shape == (1, 8, 8)
    assert prepared.rows == {"train": 1439, "validation": 179, "test": 179}
    assert prepared.dataset.split("train").slice(0, 2)["x"].dtype == np.uint8


@pytest.mark.realdata
def test_adult_is_prepared_as_it_comes(real_data: Path, tmp_path: Path) -> None:
    adult = settings(
        str(real_data / "adult" / "adult-train.csv"),
        test_source=str(real_data / "adult" / "adult-test.csv"),
        target="income",
        read={"header": False, "names": ADULT_COLUMNS, "na_values": ["?"]},
        labels={">50K.": ">50K", "<=50K.": "<=50K"},
    )
    prepared = prepare(adult, cache=tmp_path)
    transform = prepared.dataset.transform
    assert prepared.rows == {"train": 29_305, "validation": 3_256, "test": 16_281}
    assert transform.classes == ["<=50K", ">50K"]
    assert transform.positive == 1
    assert finding(prepared, "duplicate-rows")["count"] == 24
    counts = [found["count"] for found in prepared.findings if found["kind"] == "missing-values"]
    assert sum(counts) == 4_262
    test = prepared.dataset.split("test")
    assert test.slice(0, test.num_rows)["y"].mean() == pytest.approx(0.2362, abs=1e-4)


@pytest.mark.realdata
def test_california_housing_is_prepared_for_regression(real_data: Path, tmp_path: Path) -> None:
    source = str(real_data / "california-housing" / "housing.csv")
    housing = settings(source, target="median_house_value", split={"test": 0.2})
    prepared = prepare(housing, cache=tmp_path)
    transform = prepared.dataset.transform
    assert transform.task == "regression"
    assert prepared.rows == {"train": 14_448, "validation": 2_064, "test": 4_128}
    assert finding(prepared, "capped-target")["column"] == "median_house_value"
    train = prepared.dataset.split("train")
    y = train.slice(0, train.num_rows)["y"].astype(np.float64)
    assert abs(y.mean()) < 1e-6
    assert abs(y.std() - 1) < 1e-6

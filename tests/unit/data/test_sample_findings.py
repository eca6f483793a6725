"""Columns that give the target away, splits unlike each other, long tails, rows in two splits."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from distrain.config.data import DataSettings
from distrain.data.encoders import CategoricalFeature, NumericFeature
from distrain.data.features import Transform
from distrain.data.findings import rows_across_splits, skewed
from distrain.data.fit import ColumnPlan, RunFit
from distrain.data.row_sample import RowSample, joined_samples, sample_of
from distrain.data.sample import sample_dataset
from distrain.data.sample_findings import leaking_columns, shifted_columns
from distrain.data.sources import list_source
from distrain.data.split import TEST, TRAIN, VALIDATION
from distrain.data.statistics import NumberStatistics

RANDOM = np.random.default_rng(5)
ROWS = 4_000
HELPFUL = RANDOM.normal(size=ROWS)
CLASSES = (HELPFUL + RANDOM.normal(size=ROWS) > 0).astype(np.int64)
VALUES = (HELPFUL + RANDOM.normal(size=ROWS)).astype(np.float32)
SPLIT = np.where(np.arange(ROWS) % 5 == 0, TEST, TRAIN).astype(np.int8)


def number(name: str, *, indicator: bool = False) -> NumericFeature:
    return NumericFeature(name, "double", 0.0, 0.0, 1.0, indicator=indicator)


def classifier() -> Transform:
    return Transform(
        task="classification",
        targets=["churned"],
        classes=["no", "yes"],
        features=(number("a", indicator=True), CategoricalFeature("b", "string", ("u", "v"))),
    )


def regressor() -> Transform:
    return Transform(task="regression", targets=["price"], features=(number("a"),))


def features(a: npt.NDArray[np.float64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    missing = np.isnan(a)
    return np.column_stack([np.where(missing, 0, a), missing, np.eye(3)[b]]).astype(np.float32)


OTHER = RANDOM.integers(0, 2, ROWS)


@pytest.mark.parametrize(
    ("a", "b", "leaking"),
    [
        (HELPFUL, OTHER, []),
        (CLASSES * 2.0 + RANDOM.random(ROWS), OTHER, ["a"]),
        (np.where(CLASSES == 1, np.nan, HELPFUL), OTHER, ["a"]),
        (HELPFUL, np.array([1, 0])[CLASSES], ["b"]),
    ],
    ids=["none", "a number", "being missing", "a category"],
)
def test_a_column_that_tells_the_class_is_found(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.int64], leaking: list[str]
) -> None:
    sample = RowSample(features(a, b), CLASSES, SPLIT)

    found = list(leaking_columns(classifier(), sample))

    assert [finding.column for finding in found] == leaking
    assert all("known before the target" in finding.message for finding in found)


@pytest.mark.parametrize(("noise", "count"), [(0.01, 1), (0.5, 0)])
def test_a_column_that_tells_the_value_is_found(noise: float, count: int) -> None:
    a = np.exp(VALUES) + noise * RANDOM.normal(size=ROWS)
    sample = RowSample(a.astype(np.float32)[:, None], VALUES[:, None], SPLIT)

    assert len(list(leaking_columns(regressor(), sample))) == count


def test_of_few_rows_nothing_is_said() -> None:
    sample = RowSample(features(CLASSES * 1.0, OTHER)[:60], CLASSES[:60], SPLIT[:60])

    assert not [*leaking_columns(classifier(), sample), *shifted_columns(classifier(), sample)]


def test_alike_splits_are_no_finding_and_others_are_named() -> None:
    later = SPLIT == TEST
    alike = RowSample(features(HELPFUL, OTHER), CLASSES, SPLIT)
    a = np.where(later, HELPFUL + 2, HELPFUL)
    b = np.where(later, 0, OTHER)
    y = np.where(later & (RANDOM.random(ROWS) < 0.8), 1, CLASSES)

    found = list(shifted_columns(classifier(), RowSample(features(a, b), y, SPLIT)))

    assert not list(shifted_columns(classifier(), alike))
    assert [(finding.kind, finding.column) for finding in found] == [
        ("shifted-column", "a"),
        ("shifted-column", "b"),
        ("shifted-target", "churned"),
    ]


def test_a_long_tail_that_a_logarithm_shortens_is_found() -> None:
    plans = [ColumnPlan(name, "numeric", "double") for name in ("even", "tail", "flag")]
    numbers = {
        "even": RANDOM.normal(size=ROWS),
        "tail": np.exp(2 * RANDOM.normal(size=ROWS)),
        "flag": (np.arange(ROWS) % 100 == 0) * 1.0,
    }
    statistics = {name: NumberStatistics.of(part, 1_000) for name, part in numbers.items()}

    found = list(skewed([*plans, ColumnPlan("tail", "numeric", "double", scale="log")], statistics))

    assert [finding.column for finding in found] == ["tail"]


def test_skewness_is_that_of_the_numbers() -> None:
    numbers = np.array([1.0, 2.0, 3.0, 10.0])
    expected = float((((numbers - 4) / numbers.std()) ** 3).mean())

    assert NumberStatistics.of(numbers, 10).skewness() == pytest.approx(expected)
    assert NumberStatistics.of(np.ones(5), 10).skewness() == 0


def test_rows_that_repeat_a_training_row_are_counted_by_split() -> None:
    keys = np.array([1, 2, 3, 1, 2, 2, 9], dtype=np.uint64)
    splits = np.array([TRAIN, TRAIN, TRAIN, VALIDATION, TEST, TEST, TEST], dtype=np.int8)
    fits = [
        RunFit((3, 1, 0), keys=keys[:4], key_splits=splits[:4]),
        RunFit((0, 0, 3), keys=keys[4:], key_splits=splits[4:]),
    ]

    found = list(rows_across_splits(fits, one_in=1))

    assert [finding.count for finding in found] == [1, 2]
    assert "2 rows of the test split repeat a training row" in found[1].message


def test_sampled_rows_are_evenly_spaced_and_keep_their_order() -> None:
    arrays = {"x": np.arange(100.0)[:, None], "y": np.arange(100)}

    parts = [sample_of(arrays, np.full(100, TRAIN, np.int8), rows) for rows in (4, 1_000)]

    joined = joined_samples([part for part in parts if part is not None])
    assert joined is not None
    assert joined.y.tolist() == [12, 37, 62, 87, *range(100)]
    assert sample_of({"x": np.zeros((3, 1, 8, 8))}, np.zeros(3, np.int8), 2) is None


def test_a_source_s_findings_stand_in_its_manifest(tmp_path: Path) -> None:
    kept = ["a,tail,told,churned"]
    for row in range(600):
        churned = row * 7 % 3 == 0
        tail = math.exp(row % 23)
        kept.append(
            f"{row % 50},{tail:.2f},{2 if churned else row % 2},{'yes' if churned else 'no'}"
        )
    (tmp_path / "churn.csv").write_text("\n".join([*kept, *kept[1:200]]) + "\n")
    data = DataSettings(source=str(tmp_path / "churn.csv"), target="churned")

    with sample_dataset(data, list_source(data.source, None)) as dataset:
        found = {(entry["kind"], entry["column"]) for entry in dataset.manifest["findings"]}

    assert ("leaking-column", "told") in found
    assert ("skewed-column", "tail") in found
    assert ("rows-across-splits", None) in found
    assert not [column for kind, column in found if kind.startswith("shifted")]

"""What is predicted, what the columns are, which rows stay."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from distrain.config.data import DataSettings
from distrain.data.clean import clipped, repeated_rows, rows_outside, rows_with_missing
from distrain.data.column_scan import ColumnScan
from distrain.data.columns import TextRules
from distrain.data.findings import unused_labels
from distrain.data.kinds import plan_columns
from distrain.data.profile import ScanTask
from distrain.data.rowkeys import RunKeys, row_keys
from distrain.data.runs import Run
from distrain.data.target import TargetPlan, TargetWish, plan_target
from distrain.errors import DataError

RULES = TextRules()


def target_of(values: list[Any], **wish: Any) -> TargetPlan:
    fields = {"names": ("t",), "task": None, "labels": {}, "positive": None, **wish}
    scan = ScanTask({}, ["t"], ["t"], RULES)(Run(0, 0, pa.table({"t": values})))
    return plan_target(TargetWish(**fields), scan.columns, scan.counts["t"], {"t.csv": len(values)})


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["b", "a", "b"], "classification", ("a", "b")),
        ([True, False], "classification", (False, True)),
        ([10, 9, 9], "classification", (9, 10)),
        ([-1, 10, 9], "classification", (-1, 9, 10)),
        ([1.0, 0.0, None], "classification", (0, 1)),
        (list(range(21)), "regression", ()),
        ([0.5, 1.0], "regression", ()),
    ],
)
def test_task_and_classes_are_inferred(
    values: list[Any], task: str, classes: tuple[Any, ...]
) -> None:
    plan = target_of(values * 2)
    assert (plan.task, plan.classes) == (task, classes)
    assert [type(label) for label in plan.classes] == [type(label) for label in classes]


def test_stated_task_wins() -> None:
    assert target_of([1, 2, 3], task="regression").task == "regression"
    plan = target_of([0.5, 1.5, 10.5] * 2, task="classification")
    assert plan.classes == ("0.5", "1.5", "10.5")
    assert len(target_of(list(range(30)) * 2, task="classification").classes) == 30


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [
        (["no", "yes", "no"], None, "yes"),
        (["no", "yes", "yes"], None, "no"),
        (["no", "yes", "no", "yes"], None, "yes"),
        (["no", "yes", "no"], "no", "no"),
        ([0, 1, 0], 0, 0),
        ([True, False, True], True, True),
    ],
)
def test_positive_is_the_rarer_class_unless_stated(
    values: list[Any], positive: Any, expected: Any
) -> None:
    plan = target_of(values, positive=positive)
    assert plan.positive is not None
    assert plan.classes[plan.positive] == expected


def test_positive_is_for_two_classes() -> None:
    assert target_of(["a", "b", "c", "a"]).positive is None
    with pytest.raises(DataError, match="there are 3 classes"):
        target_of(["a", "b", "c", "a"], positive="a")


def test_renamed_values_fall_together() -> None:
    plan = target_of(["x.", "x", "y", None], labels={"x.": "x"})
    assert plan.classes == ("x", "y")
    assert plan.counts == {"x": 2, "y": 1}
    assert plan.codes(pa.table({"t": ["y", " x. ", None]}), RULES).tolist() == [1, 0, -1]


def test_a_renaming_that_no_row_has_is_found_with_the_nearest_value() -> None:
    found = list(unused_labels({"x.": "x", "hihg": "High"}, "t", ["x.", "high"]))

    assert [(one.kind, one.column) for one in found] == [("unused-label", "t")]
    assert found[0].message.endswith("'hihg', which no row has; did you mean 'high'?")


def test_too_many_classes_are_told() -> None:
    with pytest.raises(DataError, match="more than 10,000 different values"):
        target_of([str(row) for row in range(10_001)])


def test_text_in_a_number_to_predict_is_told_with_its_row_and_file() -> None:
    wish = TargetWish(("t",), "regression", {}, None)
    scan = ScanTask({}, ["t"], ["t"], RULES)(Run(0, 0, pa.table({"t": ["1", "2", "3", "4 kg"]})))
    with pytest.raises(DataError, match=r"column 't', row 2 of b.csv: the target is '4 kg' there"):
        plan_target(wish, scan.columns, None, {"a.csv": 2, "b.csv": 2})


def columns_of(features: dict[str, Any], scans: dict[str, ColumnScan]) -> Any:
    settings = {"source": "a.csv", "target": "t", "features": features}
    return plan_columns(DataSettings.model_validate(settings), scans)


TEXT = ColumnScan("string", 100, 0, num_distinct=3, is_numeric_text=False)
NUMBER = ColumnScan("double", 100, 0, low=0, high=1)
SCANS = {
    "n": NUMBER,
    "c": TEXT,
    "b": ColumnScan("bool", 100, 0, low=0, high=1),
    "name": ColumnScan("string", 100, 0, num_distinct=100, is_numeric_text=False),
    "same": ColumnScan("double", 100, 0, low=2, high=2),
    "empty": ColumnScan("null", 100, 100),
    "row": ColumnScan("int64", 100, 0, low=0, high=99, is_rising=True, first=0, last=99),
    "time": ColumnScan("int64", 100, 0, low=0, high=400, is_rising=True, first=0, last=400),
    "t": TEXT,
}


def test_kinds_of_columns_are_inferred() -> None:
    columns = columns_of({}, SCANS)
    assert [(plan.name, plan.kind) for plan in columns.features] == [
        ("n", "numeric"),
        ("c", "categorical"),
        ("b", "boolean"),
        ("time", "numeric"),
    ]
    assert columns.ids == ("name", "row")
    assert [(found.kind, found.column) for found in columns.findings] == [
        ("id-like-column", "name"),
        ("constant-column", "same"),
        ("empty-column", "empty"),
        ("row-number-column", "row"),
        ("rising-column", "time"),
    ]


def test_stated_kinds_win() -> None:
    stated = {"n": {"kind": "id"}, "name": {"kind": "categorical"}, "row": {"kind": "numeric"}}
    columns = columns_of(stated, SCANS)
    kinds = {plan.name: plan.kind for plan in columns.features}
    assert columns.ids == ("n",)
    assert (kinds["name"], kinds["row"]) == ("categorical", "numeric")


def test_no_feature_at_all_is_told() -> None:
    with pytest.raises(DataError, match="no feature is left"):
        columns_of({"n": {"kind": "drop"}}, {"n": NUMBER, "t": TEXT} | {"n": SCANS["empty"]})


def test_image_is_the_only_feature() -> None:
    columns = columns_of({}, {"i": ColumnScan("image", 9, 0), "n": NUMBER, "t": TEXT})
    assert [plan.name for plan in columns.features] == ["i"]
    assert [found.kind for found in columns.findings] == ["beside-image"]


def test_equal_rows_have_equal_keys_however_they_are_held() -> None:
    types = {"a": "double", "b": "string"}
    one = pa.table({"a": [1, 2, None], "b": [" x", "y", None]})
    two = pa.table({"a": ["1.0", "2", ""], "b": ["x", "y ", "NA"]})
    codes = np.zeros(3, dtype=np.int64)
    keys = row_keys(one, ["a", "b"], types, RULES, codes)
    assert keys.tolist() == row_keys(two, ["a", "b"], types, RULES, codes).tolist()
    assert len(set(keys.tolist())) == 3
    assert keys[0] != row_keys(one, ["a", "b"], types, RULES, codes + 1)[0]


def test_keys_tell_texts_apart() -> None:
    texts = ["", "a", "b", "ab", "ba", "aa", "aaa", "é", "a\0", None]
    table = pa.table({"b": pa.array(texts).slice(0)})
    keys = row_keys(table, ["b"], {"b": "string"}, TextRules(False, ()), np.zeros(10, np.int64))
    assert len(set(keys.tolist())) == len(texts)
    part = table.slice(3, 4)
    again = row_keys(part, ["b"], {"b": "string"}, TextRules(False, ()), np.zeros(4, np.int64))
    assert again.tolist() == keys[3:7].tolist()


def test_later_training_rows_that_repeat_an_earlier_one_are_found() -> None:
    keys = {
        (0, 0): RunKeys(np.array([7, 8, 7], np.uint64), np.array([True, True, True])),
        (0, 1): RunKeys(np.array([9, 8, 9], np.uint64), np.array([False, True, True])),
    }
    repeated = repeated_rows(keys)
    assert {key: rows.tolist() for key, rows in repeated.items()} == {(0, 0): [2], (0, 1): [1]}


def test_missing_and_far_rows_are_found_and_clipped() -> None:
    table = pa.table({"n": [1.0, None, 50.0, -np.inf], "c": ["a", "b", None, "d"]})
    types = {"n": "double", "c": "string"}
    assert rows_with_missing(table, ["n", "c"], types, RULES).tolist() == [0, 1, 1, 1]
    bounds = {"n": (0.0, 10.0)}
    assert rows_outside(table, bounds, types, RULES).tolist() == [0, 0, 1, 1]
    rows = np.array([True, True, True, False])
    assert clipped(table, rows, bounds, types, RULES)["n"].to_pylist()[:3] == [1.0, None, 10.0]

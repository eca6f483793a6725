"""What is found in a small source and told; what is refused, with file, column, row and value."""

from pathlib import Path
from typing import Any

import pytest

from distrain.config.data import DataSettings
from distrain.data import making
from distrain.data.sample import sample_dataset
from distrain.data.sources import list_source
from distrain.errors import DataError


def findings(folder: Path, columns: dict[str, list[Any]], **data: Any) -> dict[str, str]:
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    path = folder / "a.csv"
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    settings = DataSettings.model_validate({"source": str(path), "target": "y", **data})
    with sample_dataset(settings, list_source(settings.source)) as dataset:
        return {found["kind"]: found["message"] for found in dataset.manifest["findings"]}


ROWS = 30
AGES = [20 + 7 * row % 31 for row in range(ROWS)]
CLASSES = ["no", "yes"] * 15


def test_classes_that_differ_in_spelling_are_told(tmp_path: Path) -> None:
    classes = ["no", "Yes", "YES ", "yes"] * 7 + ["no", "YES."]
    found = findings(tmp_path, {"age": AGES, "y": classes})
    assert "the classes 'YES', 'YES.', 'Yes', 'yes' may be one" in found["similar-classes"]


def test_numbers_as_classes_are_not_alike(tmp_path: Path) -> None:
    assert "similar-classes" not in findings(tmp_path, {"age": AGES, "y": [-1, 1] * 15})


def test_numbers_with_a_text_among_them_are_told_with_its_row(tmp_path: Path) -> None:
    sizes: list[Any] = [row / 4 for row in range(ROWS)]
    sizes[17] = "unknown"
    found = findings(tmp_path, {"size": sizes, "age": AGES, "y": CLASSES})
    assert "'unknown' (row 18 of " in found["numbers-and-text"]
    assert "data.read.na_values" in found["numbers-and-text"]


def test_numbers_with_commas_are_told_with_a_row(tmp_path: Path) -> None:
    sizes = [f'"{row},5"' for row in range(ROWS)]
    found = findings(tmp_path, {"size": sizes, "age": AGES, "y": CLASSES})
    assert "numbers with a comma, such as '0,5' (row 1 of " in found["commas-in-numbers"]


def test_what_became_of_each_column_is_told_where_no_feature_is_left(tmp_path: Path) -> None:
    columns = {"same": [1] * ROWS, "age": AGES, "y": CLASSES}
    told = r"no feature is left \('age': data.features says drop; 'same': every row has the same"
    with pytest.raises(DataError, match=told):
        findings(tmp_path, columns, features={"age": {"kind": "drop"}})


def test_dates_in_several_forms_are_told(tmp_path: Path) -> None:
    forms = ("2024-01-{:02d}", "{:02d}/02/2024", "{:02d} Mar 2024")
    days = [forms[row % 3].format(1 + row % 28) for row in range(ROWS)]
    found = findings(tmp_path, {"day": days, "age": AGES, "y": CLASSES})
    assert "looks like dates, such as '2024-01-01' (row 1 of " in found["dates-as-text"]


def test_dates_in_one_form_that_is_read_are_no_finding(tmp_path: Path) -> None:
    days = [f"2024-01-{1 + row % 28:02d}" for row in range(ROWS)]
    assert "dates-as-text" not in findings(tmp_path, {"day": days, "y": CLASSES})


def test_text_in_a_numeric_column_is_told_with_file_column_row_and_value(tmp_path: Path) -> None:
    ages: list[Any] = list(AGES)
    ages[4] = "old"
    columns = {"age": ages, "y": CLASSES}
    with pytest.raises(DataError, match=r"column 'age', row 5 of .*a\.csv: 'old' is not a number"):
        findings(tmp_path, columns, features={"age": {"kind": "numeric"}})


def test_open_quote_is_told_with_the_line_where_it_begins(tmp_path: Path) -> None:
    ages: list[Any] = list(AGES)
    ages[4] = '"24'
    with pytest.raises(DataError, match="begins in line 6, where a quote may be left open"):
        findings(tmp_path, {"age": ages, "y": CLASSES})


def test_names_with_spaces_and_dots_are_names_like_others(tmp_path: Path) -> None:
    columns = {"the age": AGES, "a.b": AGES[::-1], "y": CLASSES}
    assert "constant-column" not in findings(tmp_path, columns)


def test_more_features_than_a_task_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MAX_TASK_BYTES", 100)
    with pytest.raises(DataError, match=r"1 features of 30 rows take 120 bytes.*max_words"):
        findings(tmp_path, {"age": AGES, "y": CLASSES})


def test_sentences_are_told_to_be_a_bag_of_words(tmp_path: Path) -> None:
    reviews = [f"a film of {row} parts that goes on and on" for row in range(ROWS)]
    found = findings(tmp_path, {"review": reviews, "y": CLASSES})
    assert "taken as a bag of words" in found["text-column"]

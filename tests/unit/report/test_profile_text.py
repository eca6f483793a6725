"""A column of prepared data in one line."""

from typing import Any

import pytest

from distrain.report.profile_text import column_text, in_source_order, profile_lines

AGE = {
    "kind": "numeric",
    "type": "int64",
    "num_rows": 800,
    "num_missing": 48,
    "low": 18.0,
    "high": 90.0,
    "training": {"mean": 53.912, "deviation": 21.1, "median": 54.0},
}
TOWN = {
    "kind": "categorical",
    "type": "string",
    "num_rows": 800,
    "num_missing": 0,
    "num_values": 4,
    "training": {"values": {"Graz": 9, "a" * 40: 8, "Linz": 7, "Wien": 6}},
}
CHURNED = {"kind": "target", "type": "string", "num_rows": 800, "num_missing": 0}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            AGE,
            "int64 as numeric, 18 to 90, mean 53.91, deviation 21.1, median 54, 6.0% missing",
        ),
        (TOWN, f"string as categorical, 4 values ('Graz', '{'a' * 30}...', 'Linz', ...)"),
        (CHURNED, "string, the target"),
        ({**CHURNED, "kind": "none"}, "string, no feature"),
    ],
)
def test_a_column_s_kind_and_statistics_are_told(entry: dict[str, Any], told: str) -> None:
    assert column_text(entry) == told


@pytest.mark.parametrize(("order", "shown"), [(["b", "a"], ["b", "a"]), ([], ["a", "b"])])
def test_columns_come_in_the_order_of_the_file_where_that_is_kept(
    order: list[str], shown: list[str]
) -> None:
    facts = {"profile": {"a": CHURNED, "b": CHURNED}, "profile_order": order}

    assert list(in_source_order(facts)) == shown


def test_of_many_columns_the_rest_is_counted() -> None:
    lines = list(profile_lines({f"c{number}": CHURNED for number in range(75)}))

    assert len(lines) == 61
    assert lines[-1][1].startswith("15 columns more")

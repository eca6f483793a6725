"""Findings in brief, as they are told before training."""

from typing import Any

from distrain.results import findings_in_brief


def finding(column: str | None, count: int, kind: str = "missing-values") -> dict[str, Any]:
    return {"kind": kind, "column": column, "message": f"{count} rows", "count": count}


def test_few_of_a_kind_are_told_one_by_one() -> None:
    found = [finding("a", 1), finding("b", 2), finding("c", 3), finding(None, 4, "doubles")]
    assert findings_in_brief(found) == [
        "column 'a': 1 rows",
        "column 'b': 2 rows",
        "column 'c': 3 rows",
        "4 rows",
    ]


def test_many_of_a_kind_are_one_line_of_the_column_with_most_rows() -> None:
    found = [
        *(finding(name, count) for count, name in enumerate("abcdef", 1)),
        finding("z", 9, "x"),
    ]
    assert findings_in_brief(found) == [
        "column 'f': 6 rows; the like in 'a', 'b', 'c' and 2 more",
        "column 'z': 9 rows",
    ]

"""Tables that fit: what is cut, what is left out, and that no line is ever too long."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from distrain.report.fitting import (
    EXTRA,
    FitColumn,
    FitTable,
    cut_end,
    cut_parts,
    cut_start,
)


def column(title: str, *cells: str, **fields: object) -> FitColumn:
    return FitColumn(title, [Text(cell) for cell in cells], **fields)  # type: ignore[arg-type]


def shown(columns: list[FitColumn], room: int | None) -> list[str]:
    return [line.plain.rstrip() for line in FitTable(columns).lines(room)]


def test_a_table_that_fits_is_whole_and_its_numbers_end_alike() -> None:
    table = [column("run", "a", "bb"), column("steps", "5", "1,000", is_number=True)]
    assert shown(table, 80) == ["run  steps", "a        5", "bb   1,000"]


def test_an_extra_column_goes_before_any_other_is_cut() -> None:
    table = [column("run", "a" * 20), column("when", "today", goes=EXTRA)]
    assert shown(table, 27) == [f"run{' ' * 19}when", f"{'a' * 20}  today"]
    assert shown(table, 26) == ["run", "a" * 20]


def test_fewer_words_stand_for_all_cells_before_a_column_goes() -> None:
    runs = column("run", "adult/1", "b/2", shorts=[Text("1"), Text("2")], least=1)
    assert shown([runs, column("how far", "5 steps", "6", goes=1)], 12) == [
        "run  how far", "1    5 steps", "2    6",
    ]  # fmt: skip


def test_the_column_that_matters_least_goes_first() -> None:
    table = [
        column("run", "r" * 10, least=10),
        column("far", "f" * 10, least=10, goes=2),
        column("metrics", "m" * 10, least=10, goes=1),
    ]
    assert shown(table, 30) == ["run         metrics", f"{'r' * 10}  {'m' * 10}"]


def test_a_column_without_any_text_is_not_there() -> None:
    assert shown([column("run", "a"), column("score", "")], 80) == ["run", "a"]


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (cut_end, "accurac…"),
        (cut_start, "… loss 1"),
        (cut_parts, "accurac…"),
    ],
)
def test_cells_are_cut(cut: object, expected: str) -> None:
    assert cut(Text("accuracy 0.9  loss 1"), 8).plain == expected  # type: ignore[operator]


def test_of_parts_those_are_kept_that_fit_whole() -> None:
    assert cut_parts(Text("accuracy 0.9  loss 1  f1 2"), 21).plain == "accuracy 0.9  loss 1"


def test_in_a_pipe_nothing_is_cut() -> None:
    out = io.StringIO()
    table = FitTable([column("run", "a" * 300), column("when", "today", goes=EXTRA)])
    Console(file=out, width=80).print(table, soft_wrap=True)
    assert out.getvalue().splitlines()[1] == f"{'a' * 300}  today"


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=30)


@given(
    st.lists(st.tuples(CELLS, st.integers(0, 60), st.booleans(), st.integers(1, 20)), max_size=6),
    st.integers(12, 90),
)
def test_no_line_is_longer_than_the_terminal_is_wide(
    columns: list[tuple[str, int, bool, int]], room: int
) -> None:
    table = [
        column(f"t{place}", cell, "b", goes=goes, is_number=is_number, least=least)
        for place, (cell, goes, is_number, least) in enumerate(columns)
    ]
    assert all(line.cell_len <= room for line in FitTable(table).lines(room))

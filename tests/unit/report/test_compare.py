"""A comparison in a terminal and as a page."""

import io
import math
import re
from contextlib import ExitStack
from dataclasses import replace

import pytest
from rich.console import Console

from distrain.compare.comparing import CompareResult
from distrain.compare.curves import Curve, curves_of
from distrain.compare.intervals import Measured
from distrain.compare.outcome import outcomes
from distrain.compare.sides import find_sides
from distrain.compare.what_differs import Row, what_differs
from distrain.evaluate.comparison import Comparison
from distrain.report.compare_page import compare_page
from distrain.report.compare_table import CompareTable
from distrain.report.compare_words import cause_texts, gain_text, texts_of
from distrain.track.journal import JournalWriter
from tests.compared_runs import MadeRuns

GAIN = Comparison("accuracy", 0.92, 0.9, 0.02, 0.01, 0.03, 0.001, 0.025, 80)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> CompareResult:
    """Two runs that differ in a value, a source file and a module."""
    made = MadeRuns(tmp_path_factory.mktemp("compared"))
    made.run("r1", {"test/accuracy": 0.9, "test/loss": 0.3})
    made.source += "3,1\n"
    made.code = "NAME = '<script>alert(1)</script>'\n"
    run_dir = made.run("r2", {"test/accuracy": 0.92, "test/loss": 0.31}, epochs=7)
    with JournalWriter(run_dir / "journal", "rank0") as journal:
        for step in range(1, 20):
            journal.metrics(step, {"train/loss": 1 / step, "time/data_s": 1.0})
    sides = find_sides(["r1", "r2"], made.storage, ExitStack())
    intervals = ({"test/accuracy": (0.89, 0.91)}, {"test/accuracy": (0.91, 0.93)})
    measured = Measured(intervals, ({}, {"test/accuracy": GAIN}), ("intervals are of 95 %",))
    differences = what_differs(sides)
    told = outcomes(sides, measured, differences.follows)
    return CompareResult(tuple(sides), differences, told, measured.notes)


def printed(result: CompareResult, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(CompareTable(result))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_table_tells_what_differs_and_what_came_of_it(result: CompareResult) -> None:
    lines = printed(result, 140)

    assert lines[0].split() == ["A", "a/r1", "finished"]
    differs = lines[lines.index("what differs") : lines.index("what came of it")]
    assert any(re.fullmatch(r"configuration +train\.epochs +5 +7", line) for line in differs)
    assert "net.py, from A to B" in differs
    assert "-WIDTH = 3" in differs
    came = lines[lines.index("what came of it") :]
    assert any("0.9 [0.89, 0.91]" in line and "0.92 [0.91, 0.93]" in line for line in came)
    assert any("better by 0.02 [0.01, 0.03]" in line for line in came)
    assert lines[-1] == "note: intervals are of 95 %"


@pytest.mark.parametrize("width", [20, 31, 40, 60, 80, 100, 140])
def test_no_line_is_longer_than_the_terminal_is_wide(result: CompareResult, width: int) -> None:
    many = replace(
        result,
        sides=result.sides * 3,
        outcomes=tuple(replace(o, values=o.values * 3) for o in result.outcomes),
        differences=replace(
            result.differences,
            causes=tuple(replace(row, values=row.values * 3) for row in result.differences.causes),
        ),
    )
    for shown in (result, many):
        assert max(map(len, printed(shown, width))) <= width


def test_the_page_has_all_of_it_and_no_text_becomes_markup(result: CompareResult) -> None:
    html = compare_page(result, curves_of(result.sides))

    assert "train.epochs" in html
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in html
    assert "better by 0.02<" in html
    assert "B: 0.92 [0.91, 0.93]" in html  # in the figure of intervals
    assert "train/loss" in html
    assert "http://" not in html


def test_curves_are_of_training_and_validation_alone(result: CompareResult) -> None:
    assert curves_of(result.sides) == (
        Curve("train/loss", ((), tuple((step, 1 / step) for step in range(1, 20)))),
    )


def test_the_object_of_json_has_all_of_it(result: CompareResult) -> None:
    fields = result.to_json()

    assert [run["run"] for run in fields["runs"]] == ["a/r1", "a/r2"]
    assert fields["differences"][0] == {
        "part": "configuration", "what": "train.epochs", "values": ["5", "7"],
    }  # fmt: skip
    [accuracy] = [one for one in fields["outcome"] if one["what"] == "test/accuracy"]
    assert accuracy["values"] == [0.9, 0.92]
    assert accuracy["intervals"] == [[0.89, 0.91], [0.91, 0.93]]
    assert accuracy["gains"][0] is None
    assert accuracy["gains"][1]["is_better"] is True
    assert accuracy["best"] == 1


def test_numbers_have_as_many_digits_as_tell_them_apart() -> None:
    assert texts_of([0.123456, 0.2]) == ["0.1235", "0.2"]
    assert texts_of([0.1234561, 0.1234569]) == ["0.123456", "0.123457"]
    assert texts_of([1234567, None]) == ["1,234,567", "-"]
    assert cause_texts(Row("configuration", "lr", ("0.0150139", "0.001"))) == ["0.01501", "0.001"]
    assert cause_texts(Row("configuration", "epochs", ("7", "101"))) == ["7", "101"]


def test_versions_are_no_numbers() -> None:
    assert cause_texts(Row("libraries", "attrs", ("2.1", "2.10"))) == ["2.1", "2.10"]
    assert cause_texts(Row("libraries", "packaging", ("24.0", "25.0"))) == ["24.0", "25.0"]


@pytest.mark.parametrize("pair", [(math.nan, math.nan), (0.9, math.inf)])
def test_an_interval_without_ends_is_left_out_of_the_figure(
    result: CompareResult, pair: tuple[float, float]
) -> None:
    told = [
        replace(one, intervals=(pair, (0.91, 0.93))) if one.what == "test/accuracy" else one
        for one in result.outcomes
    ]

    page = compare_page(replace(result, outcomes=tuple(told)), [])

    assert "with intervals of 95 %" not in page
    assert "[0.91, 0.93]" in page


@pytest.mark.parametrize(
    ("gain", "low", "high", "told"),
    [
        (0.02, 0.01, 0.03, ("better by 0.02 [0.01, 0.03]", "better")),
        (-0.02, -0.03, -0.01, ("worse by 0.02 [0.01, 0.03]", "worse")),
        (0.02, -0.01, 0.05, ("better by 0.02 [-0.01, 0.05], may be chance", "open")),
        (0.0, 0.0, 0.0, ("equal", "open")),
    ],
)
def test_a_difference_is_told_with_whether_it_is_certain(
    gain: float, low: float, high: float, told: tuple[str, str]
) -> None:
    assert gain_text(replace(GAIN, gain=gain, low=low, high=high)) == told

"""Figures drawn from numbers: whole SVG, values where they belong, texts escaped."""

import math
from xml.etree import ElementTree

import pytest

from distrain.report.page.columns import Histogram, histogram
from distrain.report.page.frame import Axis, Frame
from distrain.report.page.lines import Dot, Lines, Mark, Series, lines
from distrain.report.page.markup import Markup
from distrain.report.page.matrix import Matrix, matrix
from distrain.report.page.room import HALF
from distrain.report.page.scale import Scale

EVIL = "<script>alert(1)</script>"


def parsed(drawn: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(drawn.text)


def texts(drawn: Markup) -> list[str]:
    return [part.text or "" for part in parsed(drawn).iter("text")]


def test_values_lie_where_the_axes_say() -> None:
    frame = Frame(HALF, Scale(0.0, 10.0), Scale(0.0, 1.0))

    assert frame.x_at(0.0) == frame.room.left
    assert frame.x_at(10.0) == frame.room.right
    assert frame.y_at(0.0) == frame.room.bottom
    assert frame.y_at(1.0) == pytest.approx(frame.room.top)
    assert frame.x_at(5.0) == pytest.approx((frame.room.left + frame.room.right) / 2)


def test_a_curve_is_broken_where_it_has_no_value() -> None:
    points = [(0.0, 1.0), (1.0, 2.0), (2.0, math.nan), (3.0, 2.0), (4.0, 1.0)]

    [path] = [
        part
        for part in parsed(lines(Lines("c", [Series("s", points, "s0")]))).iter("path")
        if part.get("class") == "line s0"
    ]

    assert (path.get("d") or "").count("M") == 2


def test_each_curve_says_what_it_is_and_the_legend_names_a_few() -> None:
    drawn = lines(Lines("c", [Series("loss", [(0, 1), (1, 2)], "s0", title="of trial 3")]))

    assert [part.text for part in parsed(drawn).iter("title")] == ["of trial 3"]
    assert "".join(parsed(drawn).itertext()).endswith("loss")


def test_a_thousand_curves_stay_small() -> None:
    points = [(float(at), math.sin(at)) for at in range(200)]
    series = [Series(f"trial {number}", points, "muted", "thin") for number in range(1000)]

    assert len(lines(Lines("curves", series)).text) < 400_000


def test_a_single_point_is_a_dot() -> None:
    drawn = lines(Lines("c", [Series("s", [(3.0, 1.0)], "s0")]))

    assert len(list(parsed(drawn).iter("circle"))) == 1


def test_labels_of_marks_do_not_run_into_each_other() -> None:
    marks = [Mark(5.0, "resized to 3 workers", "warn"), Mark(5.1, "interrupted", "bad")]

    drawn = lines(Lines("c", [Series("s", [(0, 1), (10, 2)], "s0")], marks=marks))

    assert [text for text in texts(drawn) if "re" in text or "in" in text] == [marks[0].label]
    assert [part.text for part in parsed(drawn).iter("title")][-2:] == [m.label for m in marks]


def test_columns_are_as_high_as_their_counts() -> None:
    drawn = histogram(Histogram("c", [0, 1, 2, 3], [2, 0, 4]))

    titles = [part.text for part in parsed(drawn).iter("title")]
    assert titles == ["0 to 1: 2", "2 to 3: 4"]


def test_a_matrix_of_hostile_names_is_text() -> None:
    names = [EVIL, "b"]
    cells = [["1", "2"], ["3", "4"]]

    drawn = matrix(Matrix(EVIL, names, names, [[1, 0], [0.2, 1]], cells, cells, EVIL, EVIL))

    assert "<script" not in drawn.text
    assert {"1", "2", "3", "4"} <= set(texts(drawn))


def test_hostile_texts_of_all_figures_are_text() -> None:
    series = Series(EVIL, [(0, 1), (1, 2)], "s0")
    drawn = [
        lines(Lines(EVIL, [series], Axis(EVIL), Axis(EVIL), [Mark(1, EVIL, "bad")], [], EVIL)),
        lines(Lines("c", [series], dots=[Dot(0, 1, EVIL, "gold")])),
        histogram(Histogram(EVIL, [0, 1], [3], EVIL, EVIL)),
    ]

    assert not [figure for figure in drawn if "<script" in figure.text]
    assert [parsed(figure).tag for figure in drawn] == ["figure"] * 3

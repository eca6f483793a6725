"""Markup that no text can add to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distrain.report.page.markup import breakable, coordinate, joined, tag

EVIL = '<script>alert("x")</script>'


def test_a_text_becomes_no_markup() -> None:
    drawn = tag("p", EVIL, title=f"' onclick={EVIL} \"").text

    assert drawn == (
        '<p title="&#x27; onclick=&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &quot;">'
        "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</p>"
    )


@given(st.text())
def test_no_text_opens_an_element_or_ends_an_attribute(text: str) -> None:
    drawn = tag("i", text, title=text).text

    assert drawn.count("<") == 2
    assert drawn.count('"') == 2


def test_markup_within_markup_stays_what_it_is() -> None:
    assert tag("p", tag("b", "a & b"), None, " c").text == "<p><b>a &amp; b</b> c</p>"
    assert joined([tag("hr"), "", "<"]).text == "<hr>&lt;"


def test_a_name_may_be_broken_behind_its_dots_slashes_and_lines() -> None:
    assert breakable("train.weight_decay").text == "train.<wbr>weight_<wbr>decay"
    assert breakable("test/f1 of 1.5").text == "test/<wbr>f1 of 1.<wbr>5"
    assert breakable("<a.b>/").text == "&lt;a.<wbr>b&gt;/"


def test_attributes_are_named_as_in_html() -> None:
    drawn = tag("text", "x", class_="name", text_anchor="end", x=1.25, y=-0.01, fill=None).text

    assert drawn == '<text class="name" text-anchor="end" x="1.2" y="0">x</text>'


def test_what_is_not_finite_has_no_place() -> None:
    with pytest.raises(ValueError, match="no place for nan"):
        coordinate(float("nan"))

"""A whole page: one file, which needs no other."""

import re

from distrain.report.page.parts import (
    Card,
    Column,
    Piece,
    Row,
    bars,
    by_room,
    checklist,
    facts,
    folded,
    note,
    stacked_bar,
    table,
    to_paste,
)
from distrain.report.page.shell import Outcome, Page, Section, page

EVIL = "</style><script>alert(1)</script>"


def drawn(text: str) -> str:
    content = table([Column(text), Column("n", is_number=True)], [Row([text, "1"], "gold")], text)
    return page(
        Page(
            kind=text,
            title=text,
            under=text,
            outcome=Outcome(text, text, "good"),
            cards=[Card(text, text, text, "good")],
            sections=[Section("one", text, content, text)],
            foot=text,
        )
    )


def test_a_page_asks_for_nothing_from_elsewhere() -> None:
    html = drawn("text")

    assert html.startswith("<!doctype html><html lang=")
    assert not re.search(r"(src|srcset|@import|url\()", html)
    assert set(re.findall(r'href="([^"]*)"', html)) == {"#one"}


def test_nothing_that_a_page_is_told_becomes_markup() -> None:
    assert "<script" not in drawn(EVIL)
    assert drawn(EVIL).count("</style>") == 1


def test_a_page_follows_its_reader_s_light_or_dark_and_width() -> None:
    html = drawn("text")

    assert "prefers-color-scheme:dark" in html
    assert "max-width:640px" in html
    assert 'name="viewport"' in html


def test_of_a_figure_drawn_twice_a_phone_shows_the_narrow_one_and_a_desk_the_other() -> None:
    desk, phone = drawn("text").split("@media (max-width:640px)")

    assert ".phone{display:none}" in desk
    assert ".desk{" not in desk
    assert ".phone{display:block}\n.desk{display:none}" in phone
    assert by_room(note("wide"), note("narrow")).text == (
        '<div class="desk"><div class="note">wide</div></div>'
        '<div class="phone"><div class="note">narrow</div></div>'
    )


def test_a_whole_is_cut_into_its_parts() -> None:
    pieces = [
        Piece("a", 1.0, "1 s", "s0"),
        Piece("b", 3.0, "3 s", "s1"),
        Piece("c", 0, "0 s", "s2"),
    ]

    html = stacked_bar(pieces).text

    assert re.findall(r"width:([\d.]+)%", html) == ["25.00", "75.00"]
    assert "c 0 s" not in html


def test_the_longest_bar_fills_its_cell() -> None:
    html = bars([Piece("a", 2.0, "2", "s0"), Piece("b", 1.0, "1", "s0")], "phase", "s").text

    assert re.findall(r"width:([\d.]+)%", html) == ["100.0", "50.0"]


def test_empty_facts_are_left_out() -> None:
    html = facts([("there", "x"), ("empty", ""), ("none", None)]).text

    assert "there" in html
    assert "empty" not in html
    assert "none" not in html
    assert facts([("empty", "")]).text == ""


def test_hostile_texts_of_all_parts_are_text() -> None:
    parts = [
        facts([(EVIL, EVIL)]),
        note(EVIL, "warn"),
        to_paste(EVIL),
        folded(EVIL, note(EVIL)),
        checklist([(True, EVIL), (False, EVIL)]),
        bars([Piece(EVIL, 1.0, EVIL, "s0")], EVIL, EVIL),
        stacked_bar([Piece(EVIL, 1.0, EVIL, "s0")]),
    ]

    assert not [part for part in parts if "<script" in part.text]

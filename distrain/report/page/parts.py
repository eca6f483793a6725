"""What sections are made of: cards, tables, lists of facts, notes, bars, lines to paste."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from distrain.report.page.markup import NOTHING, Content, Markup, breakable, joined, tag
from distrain.report.page.style import Tone

_NAMED_SHARE: Final = 0.005
_ONE_LINE: Final = 28
_SHORT: Final = 10
"""Letters of a key figure that has room at its full size."""


@final
@dataclass(frozen=True)
class Card:
    """A key figure.

    Attributes:
        label: what it is.
        value: the figure, with its unit.
        note: what it is measured against; empty: nothing.
        tone: its colour; None: that of the text.
    """

    label: str
    value: str
    note: str = ""
    tone: Tone | None = None


@final
@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: what stands above it.
        is_number: whether it is aligned to the right, with digits of one width.
    """

    title: str
    is_number: bool = False


@final
@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: one for each column.
        tone: sets the whole row off; None: it is like the others.
    """

    cells: Sequence[Content]
    tone: Tone | None = None


@final
@dataclass(frozen=True)
class Piece:
    """A part of a whole, or one of several bars.

    Attributes:
        name: what it is.
        value: how much; at least 0.
        text: the same for people, with its unit.
        tone: its colour.
    """

    name: str
    value: float
    text: str
    tone: Tone


def cards(drawn: Sequence[Card]) -> Markup:
    """Return key figures side by side; nothing where there are none."""
    if not drawn:
        return NOTHING
    return tag("dl", *map(_card, drawn), class_="cards")


def _card(card: Card) -> Markup:
    note = tag("small", card.note) if card.note else NOTHING
    return tag(
        "div",
        tag("dt", card.label),
        tag("dd", card.value),
        note,
        class_=_classes("card long" if len(card.value) > _SHORT else "card", card.tone),
    )


def table(columns: Sequence[Column], rows: Sequence[Row], caption: str = "") -> Markup:
    """Return a table, which scrolls by itself where it is too wide."""
    head = tag("tr", *(tag("th", column.title, class_=_number(column)) for column in columns))
    body = [
        tag(
            "tr",
            *(
                tag("td", cell, class_=_number(column) or _text(cell))
                for column, cell in zip(columns, row.cells, strict=True)
            ),
            class_=f"strong {row.tone}" if row.tone else None,
        )
        for row in rows
    ]
    title = tag("caption", caption) if caption else NOTHING
    drawn = tag("table", title, tag("thead", head), tag("tbody", *body))
    return tag("div", drawn, class_="scroll")


def facts(rows: Sequence[tuple[str, Content]]) -> Markup:
    """Return names and what there is to say of each, one a line; empty ones are left out."""
    drawn = [tag("tr", tag("td", breakable(name)), tag("td", text)) for name, text in rows if text]
    return tag("table", tag("tbody", *drawn), class_="facts") if drawn else NOTHING


def note(text: Content, tone: Tone | None = None) -> Markup:
    """Return a remark, set off from the rest."""
    return tag("div", text, class_=_classes("note", tone))


def checklist(items: Sequence[tuple[bool, str]]) -> Markup:
    """Return what was looked at, each with whether it was in order."""
    marks = {True: tag("b", "✓", class_="good"), False: tag("b", "!", class_="warn")}
    drawn = [tag("li", marks[is_good], text) for is_good, text in items]
    return tag("ul", *drawn, class_="checks")


def told(text: str, tone: Tone) -> Markup:
    """Return a word in a colour."""
    return tag("span", text, class_=f"tone {tone}")


def to_paste(text: str) -> Markup:
    """Return lines that can be copied as they are: a command, code, the end of a log."""
    return tag("pre", tag("code", text))


def folded(summary: str, content: Markup, *, is_open: bool = False) -> Markup:
    """Return content that is shown when its reader asks for it, or hidden likewise."""
    return tag("details", tag("summary", summary), content, open="" if is_open else None)


def figures(*drawn: Markup) -> Markup:
    """Return figures side by side where there is room."""
    return tag("div", *drawn, class_="figures")


def by_room(wide: Markup, narrow: Markup) -> Markup:
    """Return a figure that is drawn in two ways: on a phone the second is shown, else the first."""
    return joined([tag("div", wide, class_="desk"), tag("div", narrow, class_="phone")])


def legend(items: Sequence[tuple[str, Tone]]) -> Markup:
    """Return what colours mean; nothing for no items."""
    if not items:
        return NOTHING
    return tag(
        "ul", *(tag("li", tag("i", class_=tone), name) for name, tone in items), class_="legend"
    )


def stacked_bar(pieces: Sequence[Piece]) -> Markup:
    """Return a whole as one bar, cut into its parts, with what the larger ones are below."""
    whole = sum(piece.value for piece in pieces)
    if whole <= 0:
        return NOTHING
    spans = [
        tag(
            "span",
            class_=piece.tone,
            style=f"width:{100 * piece.value / whole:.2f}%",
            title=f"{piece.name}: {piece.text}",
        )
        for piece in pieces
        if piece.value > 0
    ]
    shown = [piece for piece in pieces if piece.value >= _NAMED_SHARE * whole]
    items = [(f"{piece.name} {piece.text}", piece.tone) for piece in shown]
    return joined([tag("div", *spans, class_="stack"), legend(items)])


def bars(pieces: Sequence[Piece], title: str, value_title: str) -> Markup:
    """Return bars one below the other, the longest as wide as there is room.

    Args:
        pieces: a bar each.
        title: what stands above their names.
        value_title: what stands above their values.
    """
    longest = max((piece.value for piece in pieces), default=0.0)
    rows = [
        Row([piece.name, bar(piece.value / longest if longest else 0.0, piece.tone), piece.text])
        for piece in pieces
    ]
    return table([Column(title), Column(""), Column(value_title, is_number=True)], rows)


def bar(share: float, tone: Tone) -> Markup:
    """Return a bar that fills a share of its cell, 0 to 1."""
    inner = tag("span", class_=tone, style=f"width:{100 * share:.1f}%")
    return tag("span", inner, class_="track")


def _classes(first: str, tone: Tone | None) -> str:
    return f"{first} {tone}" if tone else first


def _text(cell: Content) -> str | None:
    """Return the class of a cell that a phone breaks into lines, unless it is short."""
    return "text" if isinstance(cell, str) and len(cell) > _ONE_LINE else None


def _number(column: Column) -> str | None:
    return "number" if column.is_number else None

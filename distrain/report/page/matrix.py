"""A table of counts as shades: what is, down, against what was said, across."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from distrain.report.page.frame import figure
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.room import LETTER, LINE, Size, words
from distrain.report.page.style import NUM_SHADES, shade

LONGEST_LABEL = 16
NUMBERED = 24
"""More rows than that leave no room for numbers in the cells."""


@final
@dataclass(frozen=True)
class Matrix:
    """Cells of rows and columns.

    Attributes:
        caption: the figure's title.
        rows: the rows' names, from the top.
        columns: the columns' names, from the left.
        shares: each cell's shade, 0 to 1, `(rows, columns)`.
        texts: each cell's text, `(rows, columns)`; left out where there are too many.
        titles: what is shown where the pointer rests on a cell, `(rows, columns)`.
        row_title: what rows are.
        column_title: what columns are.
        lead: a line below the title.
    """

    caption: str
    rows: Sequence[str]
    columns: Sequence[str]
    shares: Sequence[Sequence[float]]
    texts: Sequence[Sequence[str]]
    titles: Sequence[Sequence[str]]
    row_title: str = ""
    column_title: str = ""
    lead: str = ""


def matrix(drawn: Matrix) -> Markup:
    """Return the figure; it is square where its rows and columns are as many."""
    longest = max((len(name) for name in drawn.rows), default=0)
    left = min(LONGEST_LABEL, longest) * LETTER + 14
    width = 500
    cell = (width - left) / max(1, len(drawn.columns))
    cell = min(cell, 96.0)
    is_slanted = max((len(name) for name in drawn.columns), default=0) * LETTER > cell
    top = 2 * LINE + (min(LONGEST_LABEL, longest) * LETTER * 0.75 if is_slanted else 8)
    high = min(cell, 52.0)
    height = top + high * len(drawn.rows) + 4
    beside = (len(drawn.row_title) + 4) * LETTER
    parts = [
        words(0, 12, f"{drawn.row_title} ↓"),
        words(max(left, beside), 12, f"{drawn.column_title} →"),
        *(
            _column_name(name, left + cell * (at + 0.5), top - 8, is_slanted=is_slanted)
            for at, name in enumerate(drawn.columns)
        ),
    ]
    for down, name in enumerate(drawn.rows):
        y = top + high * down
        parts.append(words(left - 8, y + high / 2 + 4, _short(name), anchor="end", name="name"))
        parts += [
            _cell(drawn, down, across, (left + cell * across, y, cell, high))
            for across in range(len(drawn.columns))
        ]
    size = Size(width, round(height), "half")
    return figure(size, joined(parts), caption=drawn.caption, lead=drawn.lead)


def _cell(drawn: Matrix, down: int, across: int, box: tuple[float, float, float, float]) -> Markup:
    x, y, wide, high = box
    share = drawn.shares[down][across]
    title = tag("title", drawn.titles[down][across])
    gap = 1 if wide > 8 else 0
    fill = shade(share) if share > 0 else None
    rect = tag(
        "rect",
        x=x,
        y=y,
        width=wide - gap,
        height=high - gap,
        class_=f"area {fill}" if fill else "empty",
    )
    text = Markup("")
    if len(drawn.rows) <= NUMBERED:
        name = "strong" if share * NUM_SHADES >= NUM_SHADES / 2 else "name"
        middle = (x + (wide - gap) / 2, y + high / 2 + 4)
        text = words(*middle, drawn.texts[down][across], anchor="middle", name=name)
    return tag("g", title, rect, text)


def _column_name(name: str, x: float, y: float, *, is_slanted: bool) -> Markup:
    if not is_slanted:
        return words(x, y, _short(name), anchor="middle", name="name")
    turn = f"rotate(-40 {x:.1f} {y:.1f})"
    return tag("text", _short(name), x=x, y=y, transform=turn, class_="name")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"

"""Tables that fit: of columns too wide for a terminal, which are cut and which are left out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP: Final = 2
EXTRA: Final = 50
"""A column that goes so early is there only where no other has to be cut for it."""
CUT: Final = "…"

Cut = Callable[[Text, int], Text]
"""Cuts a cell to so many letters."""


def cut_end(cell: Text, width: int) -> Text:
    """Return a cell without its end, where it is longer."""
    if cell.cell_len <= width:
        return cell
    shown = cell.copy()
    shown.truncate(width, overflow="ellipsis")
    return shown


def cut_start(cell: Text, width: int) -> Text:
    """Return a cell without its start, where it is longer: of a run's name the end tells most."""
    if cell.cell_len <= width:
        return cell
    plain = cell.plain
    while cell_len(plain) > max(0, width - 1):
        plain = plain[1:]
    return Text(f"{CUT}{plain}"[: max(1, width)], style=cell.style)


def cut_parts(cell: Text, width: int) -> Text:
    """Return those of a cell's parts, two blanks between them, that fit; of one part its start."""
    if cell.cell_len <= width:
        return cell
    first, *others = cell.split("  ")
    shown = cut_end(first, width)
    for part in others:
        if shown.cell_len + GAP + part.cell_len > width:
            break
        shown = Text.assemble(shown, "  ", part)
    return shown


@final
@dataclass(frozen=True)
class FitColumn:
    """A column of a table that fits.

    Attributes:
        title: what stands above it.
        cells: one for each row.
        least: letters that it keeps at least, as long as it is there.
        goes: the greater, the earlier it is left out; 0: it stays.
        cut: how a cell is cut.
        shorts: the cells in fewer words, for where there is no room for all columns; empty: none.
        is_number: whether it is aligned to the right.
    """

    title: str
    cells: Sequence[Text]
    least: int = 6
    goes: int = 0
    cut: Cut = cut_end
    shorts: Sequence[Text] = ()
    is_number: bool = False

    @property
    def wanted(self) -> int:
        """Return the letters of its widest cell."""
        return max([cell_len(self.title), *(cell.cell_len for cell in self.cells)])

    @property
    def needed(self) -> int:
        """Return the letters that it needs at least."""
        return min(self.wanted, max(self.least, cell_len(self.title)))


@final
class FitTable:
    """A table of one line a row, as wide as there is room; in a pipe as wide as it is.

    Args:
        columns: from the left; those without any text are left out.
        rest: what stands below it; empty: nothing.
    """

    def __init__(self, columns: Sequence[FitColumn], rest: str = "") -> None:
        self._columns = [one for one in columns if any(cell.plain for cell in one.cells)]
        self._rest = rest

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield its lines."""
        room = options.max_width if console.is_terminal else None
        yield from self.lines(room)

    def lines(self, room: int | None) -> list[Text]:
        """Return its lines, the titles first.

        Args:
            room: letters of a line; None: as many as there are.
        """
        columns = self._columns if room is None else _kept(self._columns, room)
        allowed = [c.wanted for c in columns] if room is None else _widths(columns, room)
        fitted = [
            [cut_end(Text(column.title, style="bold"), width)]
            + [column.cut(cell, width) for cell in column.cells]
            for column, width in zip(columns, allowed, strict=True)
        ]
        # What was cut between its parts needs less than it was allowed.
        widths = [max(cell.cell_len for cell in cells) for cells in fitted]
        lines = [_line(columns, row, widths) for row in zip(*fitted, strict=True)]
        if self._rest:
            lines.append(cut_end(Text(self._rest, style="dim"), room or cell_len(self._rest)))
        return lines


def _kept(columns: Sequence[FitColumn], room: int) -> list[FitColumn]:
    """Return the columns that there is room for, in fewer words where that is needed."""
    kept = [*columns]
    if _total(column.wanted for column in kept) > room:
        kept = [column for column in kept if column.goes < EXTRA]
    for place, column in enumerate(kept):
        if column.shorts and _total(one.wanted for one in kept) > room:
            kept[place] = replace(column, cells=column.shorts)
    while _total(column.needed for column in kept) > room:
        leaving = max(kept, key=lambda column: column.goes, default=None)
        if leaving is None or leaving.goes == 0:
            break
        kept.remove(leaving)
    return kept


def _total(widths: Iterable[int]) -> int:
    return sum(width + GAP for width in widths) - GAP


def _widths(columns: Sequence[FitColumn], room: int) -> list[int]:
    """Return each column's width: all that it wants, those that go first cut first."""
    widths = [column.wanted for column in columns]
    over = _total(widths) - room
    for place in sorted(range(len(columns)), key=lambda place: -columns[place].goes):
        cut = min(max(0, over), widths[place] - columns[place].needed)
        widths[place] -= cut
        over -= cut
    for place in reversed(range(len(columns))):  # narrower than any table should have to be
        cut = min(max(0, over), widths[place] - 1)
        widths[place] -= cut
        over -= cut
    return widths


def _line(columns: Sequence[FitColumn], cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text(no_wrap=True)
    for place, (column, cell, width) in enumerate(zip(columns, cells, widths, strict=True)):
        blanks = " " * max(0, width - cell.cell_len)
        is_last = place == len(columns) - 1
        line.append_text(Text.assemble(blanks, cell) if column.is_number else cell)
        line.append("" if column.is_number or is_last else blanks)
        line.append("" if is_last else " " * GAP)
    return line

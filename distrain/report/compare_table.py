"""Runs beside each other in a terminal: what differs, what was the same, what came of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from distrain.compare.comparing import CompareResult
from distrain.compare.outcome import Outcome
from distrain.report.compare_words import (
    ABSENT,
    cause_texts,
    gain_text,
    interval_text,
    same_text,
    value_texts,
)

LEAST_WIDTH: Final = 18
"""Letters of a column below which values stand one below the other instead."""
WIDE: Final = 100
"""Letters of a terminal from which on there is a column for the parts."""
GAP: Final = 2
MOST_LINES: Final = 24
"""Of changed code; a page has all of it."""
_TONES: Final = {"better": "green", "worse": "red", "open": "dim"}
_OF_DIFF: Final = {"+": "green", "-": "red", "@": "cyan"}

Line = tuple[str, str, list[Text]]
"""What it is a part of, its name, and the value of each run."""


@final
class CompareTable:
    """What `distrain compare` prints.

    Args:
        result: of the comparison.
    """

    def __init__(self, result: CompareResult) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield its parts, as wide as there is room."""
        del console
        result, width = self._result, options.max_width
        yield _heads(result)
        yield Text("\nwhat differs", style="bold")
        yield from self._lines(list(_causes(result)), width)
        for change in result.differences.code:
            yield _code(change.letter, change.file, change.lines)
        yield from _folded(f"the same: {same_text(result.differences.same)}", width)
        yield Text("\nwhat came of it", style="bold")
        yield from self._lines([_outcome(one) for one in result.outcomes], width)
        for note in result.notes:
            yield from _folded(f"note: {note}", width)

    def _lines(self, lines: Sequence[Line], width: int) -> RenderResult:
        if not lines:
            yield Text("nothing", style="dim")
            return
        count, has_parts = len(self._result.sides), width >= WIDE
        widest = [max(_widest(values[at]) for _, _, values in lines) for at in range(count)]
        least = [min(width, LEAST_WIDTH) for width in widest]
        parts = max(len(part) for part, _, _ in lines) + GAP if has_parts else 0
        free = width - parts - sum(least) - GAP * count
        names = min(max(len(name) for _, name, _ in lines), free)
        if names < LEAST_WIDTH and names == free:
            yield from _stacked(lines, [side.letter for side in self._result.sides], width)
            return
        rooms = _shared(widest, least, free - names)
        yield self._table(lines, has_parts=has_parts, names=names, rooms=rooms)

    def _table(
        self, lines: Sequence[Line], *, has_parts: bool, names: int, rooms: Sequence[int]
    ) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
        if has_parts:
            table.add_column("", style="dim")
        table.add_column("", max_width=names, overflow="fold")
        for side, room in zip(self._result.sides, rooms, strict=True):
            table.add_column(side.letter, max_width=room, overflow="fold")
        last = ""
        for part, name, values in lines:
            shown = [part if part != last else ""] if has_parts else []
            table.add_row(*shown, Text(name), *values)
            last = part
        return table


def _shared(widest: Sequence[int], least: Sequence[int], free: int) -> list[int]:
    """Return the letters of each column, those that are free given to who wants more, in turn."""
    rooms = [*least]
    while free > 0 and any(room < wanted for room, wanted in zip(rooms, widest, strict=True)):
        for at, wanted in enumerate(widest):
            if rooms[at] < wanted and free > 0:
                rooms[at] += 1
                free -= 1
    return rooms


def _widest(cell: Text) -> int:
    return max((line.cell_len for line in cell.split("\n")), default=0)


def _heads(result: CompareResult) -> Text:
    lines = [
        Text.assemble((side.letter, "bold"), "  ", side.key, "  ", (side.status, "dim"))
        for side in result.sides
    ]
    return Text("\n").join(lines)


def _causes(result: CompareResult) -> Iterator[Line]:
    for row in result.differences.causes:
        texts = cause_texts(row)
        yield row.part, row.what, [_value(text) for text in texts]


def _outcome(outcome: Outcome) -> Line:
    values = [_value(text) for text in value_texts(outcome)]
    if outcome.best is not None:
        values[outcome.best].stylize("green")
    for value, pair in zip(values, outcome.intervals, strict=False):
        value.append(f" {interval_text(pair)}".rstrip(), style="dim")
    for value, gain in zip(values, outcome.gains, strict=False):
        if gain is not None:
            told, verdict = gain_text(gain)
            value.append(f"\n{told}", style=_TONES[verdict])
    return outcome.group, outcome.what, values


def _value(text: str) -> Text:
    return Text(text, style="dim" if text == ABSENT else "")


def _stacked(lines: Iterable[Line], letters: Sequence[str], width: int) -> Iterator[Text]:
    """Yield each thing's values one below the other."""
    for _, name, values in lines:
        yield from _folded(name, width)
        for letter, value in zip(letters, values, strict=True):
            for number, part in enumerate(value.split("\n")):
                head = f"  {letter}  " if number == 0 else "     "
                yield from _folded(Text.assemble((head, "bold"), part), width)


def _code(letter: str, file: str, lines: Sequence[str]) -> Text:
    """Return how a file of code differs; of many lines the first."""
    shown = [Text(line, style=_OF_DIFF.get(line[:1], "dim")) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        shown.append(Text(f"... {len(lines) - MOST_LINES:,} more lines: --out FILE.html has them"))
    head = Text(f"{file}, from A to {letter}", style="bold")
    return Text("\n").join([head, *shown])


def _folded(text: "str | Text", width: int) -> Iterator[Text]:
    """Yield a text cut into lines of at most `width` letters, between its words where it can be."""
    whole = Text(text) if isinstance(text, str) else text
    console = Console(width=width)
    yield from whole.wrap(console, width)

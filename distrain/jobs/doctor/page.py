"""A diagnosis as a person reads it: a table in a terminal, plain lines in a pipe."""

from typing import Final, final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from distrain.jobs.doctor.findings import Diagnosis, Finding, Level, counted

_STYLES: Final[dict[Level, str]] = {"ok": "green", "warning": "yellow", "fault": "bold red"}
_MEND: Final = "mend"


@final
class Page:
    """The findings of a diagnosis, each with what mends it below it, and their sum.

    Args:
        diagnosis: what is shown.
    """

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it: in a terminal long texts go on below themselves, elsewhere a line is a line."""
        rows = [row for found in self._diagnosis.findings for row in _rows(found)]
        if console.is_terminal:
            yield _table(rows)
        else:
            widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
            for level, check, text in rows:
                yield Text(f"{level.plain:{widths[0]}}  {check.plain:{widths[1]}}  {text.plain}")
        yield Padding(self._sum(), (1, 0, 0, 0)) if console.is_terminal else self._sum()

    def _sum(self) -> Text:
        counts = self._diagnosis.counts
        told = [("ok", f"{counts['ok']} ok")]
        told += [(kind, counted(counts[kind], kind)) for kind in ("warning", "fault")]
        return Text(", ").join(
            Text(text, style=_STYLES[kind] if int(text.split()[0]) else "")  # type: ignore[index]
            for kind, text in told
        )


def _rows(found: Finding) -> list[tuple[Text, Text, Text]]:
    where = f"{found.where}: " if found.where else ""
    level = Text(found.level, style=_STYLES[found.level])
    rows = [(level, Text(found.check, style="bold"), Text(f"{where}{found.text}"))]
    if found.mend:
        rows.append((Text(), Text(_MEND, style="dim"), Text(found.mend, style="italic")))
    return rows


def _table(rows: list[tuple[Text, Text, Text]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table

"""The live display of a command: a progress line in a terminal, plain lines in a pipe.

Order of calls: any number of `stage`, `note` and `progress`, then `close`. A display only shows;
it never fails a command.
"""

import time
from collections.abc import Mapping
from typing import Any, Protocol, final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_INTERVAL_S = 5.0


class Display(Protocol):
    """What a pipeline tells while it works."""

    def stage(self, text: str) -> None:
        """Say what is being done now."""

    def note(self, text: str) -> None:
        """Say something the user should know, once."""

    def progress(self, record: Mapping[str, Any]) -> None:
        """Show where training is: a `progress` record of the journal."""

    def close(self) -> None:
        """End the display and leave the terminal as it was."""


@final
class SilentDisplay:
    """Shows nothing; for callers from Python."""

    def stage(self, text: str) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def progress(self, record: Mapping[str, Any]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


@final
class PlainDisplay:
    """One line per stage, and a progress line every few seconds and at every evaluation."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_at = 0.0
        self._shown_metric: object = None

    def stage(self, text: str) -> None:
        """Print the stage on a line of its own."""
        self._print(text)

    def note(self, text: str) -> None:
        """Print the note on a line of its own."""
        self._print(f"note: {text}")

    def progress(self, record: Mapping[str, Any]) -> None:
        """Print the record if it is due."""
        metric = validation_text(record)
        is_due = time.monotonic() - self._shown_at >= PLAIN_INTERVAL_S
        if is_due or metric != self._shown_metric or is_last(record):
            self._shown_at = time.monotonic()
            self._shown_metric = metric
            self._print(progress_text(record))

    def close(self) -> None:
        """Do nothing: every line is out already."""

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@final
class LiveDisplay:
    """A bar and one line of figures, redrawn in place; stages stay above it, with their seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._since = time.monotonic()
        self._record: Mapping[str, Any] | None = None
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._draw)
        self._live.start()

    def stage(self, text: str) -> None:
        """Leave the last stage above the bar and show the new one."""
        self._leave_stage()
        self._stage, self._since, self._record = text, time.monotonic(), None

    def note(self, text: str) -> None:
        """Print the note above the bar."""
        self._console.print(Text(f"  note: {text}", style="yellow"))

    def progress(self, record: Mapping[str, Any]) -> None:
        """Redraw the bar."""
        self._record = record

    def close(self) -> None:
        """Leave the last stage and give the terminal back."""
        self._leave_stage()
        self._stage = ""
        self._live.stop()

    def _leave_stage(self) -> None:
        if self._stage:
            seconds = time.monotonic() - self._since
            line = Text.assemble((" ✓ ", "green"), self._stage, (f"  {seconds:.1f} s", "dim"))
            self._console.print(line)

    def _draw(self) -> Table | Text:
        if not self._stage:
            return Text("")
        grid = Table.grid(padding=(0, 1))
        seconds = f"{time.monotonic() - self._since:.0f} s"
        if self._record is None:
            grid.add_row(Text(" …", style="cyan"), self._stage, Text(seconds, style="dim"))
            return grid
        total = self._record.get("total_steps") or 1
        bar = ProgressBar(total=total, completed=self._record["step"], width=24)
        grid.add_row(bar, Text(progress_text(self._record)))
        return grid


def progress_text(record: Mapping[str, Any]) -> str:
    """Return one line of figures: epoch, step, rows/s, loss, validation metric, time left."""
    parts = []
    if record.get("total_epochs"):
        parts.append(f"epoch {record['epoch']}/{record['total_epochs']}")
    parts.append(f"step {record['step']:,}/{record['total_steps']:,}")
    if record.get("rows_per_s"):
        parts.append(f"{record['rows_per_s']:,.0f} rows/s")
    if record.get("loss") is not None:
        parts.append(f"loss {record['loss']:.4g}")
    metric = validation_text(record)
    if metric:
        parts.append(metric)
    left = record.get("left_s")
    if left is not None and not is_last(record):
        parts.append(f"{duration_text(left)} left")
    return "  ".join(parts)


def validation_text(record: Mapping[str, Any]) -> str:
    """Return `name value` of the record's validation metric, or nothing."""
    metric = record.get("validation")
    return f"{metric[0]} {metric[1]:.4g}" if metric else ""


def is_last(record: Mapping[str, Any]) -> bool:
    """Return whether the record speaks of the last step."""
    return bool(record.get("step") == record.get("total_steps"))


def duration_text(seconds: float) -> str:
    """Return a duration in the two units that matter: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

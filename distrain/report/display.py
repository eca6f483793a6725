"""The live display of a command: a progress line in a terminal, plain lines in a pipe.

Both are a `distrain.display.Display`. A display only shows; it never fails a command.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from distrain.display import duration_text

PLAIN_INTERVAL_S = 5.0
WAITING_INTERVAL_S = 60.0


@contextmanager
def open_display(*, to_stderr: bool) -> "Iterator[PlainDisplay | LiveDisplay]":
    """Show a command's work for the length of a `with` block.

    Args:
        to_stderr: keep stdout free, for a command whose result is JSON.
    """
    console = _LastingConsole(stderr=to_stderr, highlight=False)
    display = LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
    try:
        yield display
    except BaseException:  # raised again; Ctrl-C and exits too must leave the terminal whole
        display.close(has_failed=True)
        raise
    display.close()


@final
class _LastingConsole(Console):
    """A console whose reader may leave: the rest is shown to nobody, and the work goes on."""

    def on_broken_pipe(self) -> None:
        """Point the stream at nothing, where Console itself would end the program."""
        self.quiet = True
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.file.fileno())
        os.close(nothing)


@final
class PlainDisplay:
    """One line per stage, and a progress line every few seconds and at every evaluation."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_at = 0.0
        self._shown_metric = ""
        self._waiting_told_at: float | None = None

    def stage(self, text: str) -> None:
        """Print the stage on a line of its own."""
        self._waiting_told_at = None
        self._print(text)

    def note(self, text: str) -> None:
        """Print the note on a line of its own."""
        self._print(f"note: {text}")

    def waiting(self, text: str) -> None:
        """Print what is waited for at first, and then once a minute."""
        now = time.monotonic()
        if self._waiting_told_at is None or now - self._waiting_told_at >= WAITING_INTERVAL_S:
            self._waiting_told_at = now
            self._print(text)

    def progress(self, record: Mapping[str, Any]) -> None:
        """Print the record if it is due."""
        metric = validation_text(record)
        is_due = time.monotonic() - self._shown_at >= PLAIN_INTERVAL_S
        if is_due or metric != self._shown_metric or is_last(record):
            self._shown_at = time.monotonic()
            self._shown_metric = metric
            self._print(progress_text(record))

    def search(self, standing: Mapping[str, Any]) -> None:
        """Print where the search is, if it is due."""
        is_due = time.monotonic() - self._shown_at >= PLAIN_INTERVAL_S
        if is_due or standing["num_ended"] == standing["num_trials"]:
            self._shown_at = time.monotonic()
            self._print(search_text(standing))

    def close(self, *, has_failed: bool = False) -> None:
        """Do nothing: every line is out already."""

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@final
class LiveDisplay:
    """A bar and one line of figures, redrawn in place; stages stay above it, with their seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._is_waiting = False
        self._since = time.monotonic()
        self._record: Mapping[str, Any] | None = None
        self._standing: Mapping[str, Any] | None = None
        self._live = Live(
            console=console, refresh_per_second=4, transient=True, get_renderable=self._draw
        )
        self._live.start()

    def stage(self, text: str) -> None:
        """Leave the last stage above the bar and show the new one."""
        self._leave_stage()
        self._stage, self._since = text, time.monotonic()
        self._record = self._standing = None
        self._is_waiting = False

    def waiting(self, text: str) -> None:
        """Show a stage of its own, and change its text while it lasts."""
        if not self._is_waiting:
            self.stage(text)
        self._stage, self._is_waiting = text, True

    def note(self, text: str) -> None:
        """Print the note above the bar."""
        self._console.print(Text(f"  note: {text}", style="yellow"))

    def progress(self, record: Mapping[str, Any]) -> None:
        """Redraw the bar."""
        self._record = record

    def search(self, standing: Mapping[str, Any]) -> None:
        """Redraw the bar."""
        self._standing = standing

    def close(self, *, has_failed: bool = False) -> None:
        """Leave the last stage, failed or done, and give the terminal back."""
        self._leave_stage((" ✗ ", "red") if has_failed else (" ✓ ", "green"))
        self._stage = ""
        self._live.stop()

    def _leave_stage(self, mark: tuple[str, str] = (" ✓ ", "green")) -> None:
        if self._stage:
            seconds = time.monotonic() - self._since
            line = Text.assemble(mark, self._stage, (f"  {seconds:.1f} s", "dim"))
            self._console.print(line)

    def _draw(self) -> Table | Text:
        if not self._stage:
            return Text("")
        grid = Table.grid(padding=(0, 1))
        seconds = f"{time.monotonic() - self._since:.0f} s"
        if self._standing is not None:
            ended, total = self._standing["num_ended"], self._standing["num_trials"]
            bar = ProgressBar(total=total, completed=ended, width=16)
            grid.add_row(bar, Text(search_text(self._standing)))
            return grid
        if self._record is None:
            grid.add_row(Text(" …", style="cyan"), Text(self._stage), Text(seconds, style="dim"))
            return grid
        total = self._record["total_steps"]
        bar = ProgressBar(total=total, completed=self._record["step"], width=16)
        grid.add_row(bar, Text(progress_text(self._record)))
        return grid


def progress_text(record: Mapping[str, Any]) -> str:
    """Return one line of figures: epoch, step, rows/s, loss, validation metric, time left."""
    parts = [
        f"epoch {record['epoch']}/{record['total_epochs']}",
        f"step {record['step']:,}/{record['total_steps']:,}",
        f"{record['rows_per_s']:,.0f} rows/s",
    ]
    if record["loss"] is not None:
        parts.append(f"loss {record['loss']:.4g}")
    parts.append(validation_text(record))
    if record["left_s"] is not None and not is_last(record):
        parts.append(f"{duration_text(record['left_s'])} left")
    return "  ".join(part for part in parts if part)


def search_text(standing: Mapping[str, Any]) -> str:
    """Return one line of figures: trials, what became of them, the best so far, time left."""
    ended, total = standing["num_ended"], standing["num_trials"]
    parts = [f"{ended:,}/{total:,} trials", f"{standing['num_running']} running"]
    parts += [
        f"{standing[key]:,} {word}"
        for key, word in (
            ("num_waiting", "waiting for room"),
            ("num_stopped", "stopped"),
            ("num_failed", "failed"),
        )
        if standing.get(key)
    ]
    parts.append(f"{standing['epochs']:,} epochs")
    if standing["best"] is not None:
        trial, value = standing["best"]
        parts.append(f"best {standing['metric']} {value:.4g} (trial {trial})")
    if standing.get("after"):
        parts.append(standing["after"])
    elif 0 < ended < total:
        parts.append(f"{duration_text(standing['wall_s'] / ended * (total - ended))} left")
    return "  ".join(parts)


def validation_text(record: Mapping[str, Any]) -> str:
    """Return `name value` of the validation metric that the run watches, or nothing."""
    watched = record["validation"]
    return f"{watched[0]} {watched[1]:.4g}" if watched else ""


def is_last(record: Mapping[str, Any]) -> bool:
    """Return whether the record speaks of the last step."""
    return bool(record["step"] == record["total_steps"])

"""The live display of a command: a progress line in a terminal, plain lines in a pipe.

Both are a `distrain.display.Display`. A display only shows; it never fails a command.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from distrain.display import Display, NoDisplay
from distrain.durations import duration_text
from distrain.report.fitting import cut_parts
from distrain.report.search_view import head_line, search_text, trial_lines

PLAIN_INTERVAL_S = 5.0
WAITING_INTERVAL_S = 60.0
LOOK_INTERVAL_S = 0.5
"""Between two looks at a search's trials, for the table of the best."""
LOOK_SHARE = 0.01
"""Of the time, that such looks may take at most: of many trials they are fewer."""
BAR_WIDTH = 16
_LEAVING = ("loss", "speed", "validation", "step")


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


@contextmanager
def open_lines(*, is_wanted: bool | None) -> "Iterator[Display]":
    """Show work that Python code has asked for, a line at a time, on its standard output.

    Args:
        is_wanted: whether it is shown; None: in a notebook, where nothing else tells how far it is.
    """
    if not (is_in_notebook() if is_wanted is None else is_wanted):
        yield NoDisplay()
        return
    # Lines come from several threads, and a display of rich's own redraws what a notebook keeps.
    yield PlainDisplay(Console(file=sys.stdout, force_jupyter=False, force_terminal=False))


def is_in_notebook() -> bool:
    """Return whether this process runs the cells of a notebook; imports nothing."""
    shell = sys.modules.get("IPython")
    return shell is not None and hasattr(shell.get_ipython(), "kernel")


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
        self._is_end_shown = False
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
        has_ended = standing["num_ended"] == standing["num_trials"]
        if is_due or (has_ended and not self._is_end_shown):  # other seeds and audits come after it
            self._shown_at, self._is_end_shown = time.monotonic(), has_ended
            self._print(search_text(standing))

    def close(self, *, has_failed: bool = False) -> None:
        """Do nothing: every line is out already."""

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@final
class LiveDisplay:
    """A bar and one line of figures, redrawn in place; stages stay above it, with their seconds.

    Below those of a search stand its best trials, and those that run.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._is_waiting = False
        self._since = time.monotonic()
        self._record: Mapping[str, Any] | None = None
        self._standing: Mapping[str, Any] | None = None
        self._trials: Mapping[str, Any] | None = None
        self._looks_at = 0.0
        self._lines: list[Text] = []
        self._lines_of: object = None
        self._live = Live(
            console=console, refresh_per_second=4, transient=True, get_renderable=self._draw
        )
        self._live.start()

    def stage(self, text: str) -> None:
        """Leave the last stage above the bar and show the new one."""
        self._leave_stage()
        self._stage, self._since = text, time.monotonic()
        self._record = self._standing = self._trials = None
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
        """Redraw the bar, and now and then look at the trials."""
        self._standing = standing
        began = time.monotonic()
        if "trials" in standing and began >= self._looks_at:
            # Here, not where it is drawn: that is another thread, and trials change meanwhile.
            self._trials = standing["trials"]()
            took_s = time.monotonic() - began
            self._looks_at = began + max(LOOK_INTERVAL_S, took_s / LOOK_SHARE)

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

    def _draw(self) -> Group | Table | Text:
        if not self._stage:
            return Text("")
        seconds = f"{time.monotonic() - self._since:.0f} s"
        standing, record = self._standing, self._record
        if standing is not None:
            return self._draw_search(standing)
        grid = Table.grid(padding=(0, 1))
        if record is None:
            grid.add_row(Text(" …", style="cyan"), Text(self._stage), Text(seconds, style="dim"))
            return grid
        text = progress_line(record, self._room)
        return self._bar(record["step"], record["total_steps"], text)

    def _draw_search(self, standing: Mapping[str, Any]) -> Group:
        trials, size = self._trials, self._console.size
        shown = (None if trials is None else id(trials), size)
        if shown != self._lines_of:
            found = trial_lines(standing, trials, size.width, size.height) if trials else []
            self._lines, self._lines_of = [Text(""), *found] if found else [], shown
        text = head_line(standing, self._room)
        return Group(self._bar(standing["num_ended"], standing["num_trials"], text), *self._lines)

    @property
    def _room(self) -> int:
        """Return the letters that there is room for beside the bar; below it, where that is few."""
        room = self._console.width - BAR_WIDTH - 1
        return room if room >= BAR_WIDTH else self._console.width

    def _bar(self, completed: int, total: int, text: Text) -> Table | Text:
        """Return a bar with figures beside it; figures alone where there is no room for both."""
        if self._room == self._console.width:
            return text
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=total, completed=completed, width=BAR_WIDTH), text)
        return grid


def progress_text(record: Mapping[str, Any]) -> str:
    """Return one line of figures: epoch, step, rows/s, loss, validation metric, time left."""
    return "  ".join(_progress_parts(record).values())


def progress_line(record: Mapping[str, Any], width: int) -> Text:
    """Return the same for a terminal: what there is room for, how far it is to the last.

    Args:
        record: a `progress` record of the journal.
        width: letters of the line.
    """
    parts = _progress_parts(record)
    for name in _LEAVING:
        if len("  ".join(parts.values())) > width:
            parts.pop(name, None)
    return cut_parts(Text("  ".join(parts.values())), max(1, width))


def _progress_parts(record: Mapping[str, Any]) -> dict[str, str]:
    has_left = record["left_s"] is not None and round(record["left_s"]) > 0
    parts = {
        "epoch": f"epoch {record['epoch']}/{record['total_epochs']}",
        "step": f"step {record['step']:,}/{record['total_steps']:,}",
        "speed": f"{record['rows_per_s']:,.0f} rows/s",
        "loss": f"loss {record['loss']:.4g}" if record["loss"] is not None else "",
        "validation": validation_text(record),
        "left": f"{duration_text(round(record['left_s']))} left" if has_left else "",
    }
    return {name: text for name, text in parts.items() if text}


def validation_text(record: Mapping[str, Any]) -> str:
    """Return `name value` of the validation metric that the run watches, or nothing."""
    watched = record["validation"]
    return f"{watched[0]} {watched[1]:.4g}" if watched else ""


def is_last(record: Mapping[str, Any]) -> bool:
    """Return whether the record speaks of the last step."""
    return bool(record["step"] == record["total_steps"])

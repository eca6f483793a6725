"""`distrain runs --watch`: the runs of a storage folder, drawn anew until Ctrl-C."""

import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from distrain.errors import ConfigError
from distrain.report.runs_table import watched_table
from distrain.track.chosen_runs import Choice
from distrain.track.live_runs import LiveRuns
from distrain.track.runs import list_runs

EVERY_S: Final = 2.0
_SHARE: Final = 0.2
"""Of the time, that looking may take at most: of many runs it is done less often."""


def watch_runs(storage: Path, choice: Choice, *, as_json: bool) -> None:
    """Show runs in the terminal, again and again, until Ctrl-C; the last look stays there.

    Args:
        storage: the folder that runs are kept in.
        choice: which are listed, and in which order.
        as_json: whether the one line of JSON was asked for, which has no time to come.

    Raises:
        ConfigError: stdout is no terminal, or one of what was asked for cannot be.
    """
    console = Console(highlight=False)
    if as_json or not console.is_terminal:
        raise ConfigError(
            "--watch stands beside --json" if as_json else "--watch needs a terminal",
            where="command line",
            expected="a terminal that is drawn anew",
            mend="Leave out --watch, and call `distrain runs` again and again",
        )
    live_runs = LiveRuns()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                began = time.monotonic()
                found = live_runs.look(list_runs(storage))
                shown = watched_table(
                    choice.of(found),
                    storage,
                    choice,
                    num_all=len(found),
                    height=console.height,
                )
                live.update(shown, refresh=True)
                took_s = time.monotonic() - began
                time.sleep(max(EVERY_S, took_s / _SHARE))
    except KeyboardInterrupt:
        return

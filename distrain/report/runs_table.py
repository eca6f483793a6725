"""The runs of a storage folder in a terminal, one a line, and those that go on as they do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Group
from rich.text import Text

from distrain.durations import duration_text
from distrain.report.fitting import EXTRA, FitColumn, FitTable, cut_parts, cut_start
from distrain.report.tables import metrics_text
from distrain.track.chosen_runs import Choice, fields_of_run
from distrain.track.live_runs import RUNNING
from distrain.track.runs import UNFINISHED, RunSummary

SILENT_S: Final = 60.0
"""Seconds without progress after which it is told: an evaluation, or a driver that hangs."""
_SHOWN_KEYS: Final = ("name", "run", "run_dir", "started", "status", "outcome", "step", "sweep")
_TONES: Final = {
    "finished": "green",
    "stopped_early": "green",
    "failed": "red",
    "interrupted": "yellow",
    UNFINISHED: "yellow",
    RUNNING: "cyan",
}


def runs_table(
    runs: Sequence[RunSummary], storage: Path, choice: Choice | None = None, *, num_all: int = 0
) -> "FitTable | str":
    """Return one line a run, or where none were found that.

    Args:
        runs: those that are listed, in their order.
        storage: where they are.
        choice: how they were chosen; None: all, the newest first.
        num_all: how many there are in all.
    """
    choice = choice or Choice()
    if not runs:
        return f"none of {num_all:,} runs is meant" if num_all else f"no runs below {storage}"
    metrics = [_metrics(run, choice.sort_key) for run in runs]
    columns = [
        FitColumn(
            "run",
            [Text(f"{run.name}/{run.run}") for run in runs],
            shorts=[Text(run.run) for run in runs],
            least=max(len(run.run) for run in runs),
            cut=cut_start,
        ),
        FitColumn(
            "outcome",
            [_outcome(run) for run in runs],
            shorts=[_word(run) for run in runs],
            least=max(len(run.outcome) for run in runs),
        ),
        *_sort_column(runs, choice.sort_key),
        FitColumn("how far", [_how_far(run) for run in runs], least=12, goes=2, cut=cut_parts),
        FitColumn("started (UTC)", [_started(run) for run in runs], goes=EXTRA),
        FitColumn("metrics", metrics, least=_first_part(metrics), goes=1, cut=cut_parts),
    ]
    return FitTable(columns)


def watched_table(
    runs: Sequence[RunSummary], storage: Path, choice: Choice, *, num_all: int, height: int
) -> "Group | str":
    """Return the same for a terminal that is drawn again and again.

    Args:
        runs: those that are listed, in their order.
        storage: where they are.
        choice: how they were chosen.
        num_all: how many there are in all.
        height: lines of the terminal.
    """
    room = max(1, height - 4)
    shown = runs_table(runs[:room], storage, choice, num_all=num_all)
    num_running = sum(run.outcome == RUNNING for run in runs)
    more = f", {len(runs) - room:,} more below" if len(runs) > room else ""
    told = f"{len(runs):,} runs, {num_running:,} running{more}; Ctrl-C ends it"
    return Group(shown, Text(told, style="dim", no_wrap=True, overflow="ellipsis"))


def _first_part(cells: Sequence[Text]) -> int:
    """Return the letters of the longest first part of cells: of a metric's name and value."""
    return max(len(cell.plain.partition("  ")[0]) for cell in cells)


def _word(run: RunSummary) -> Text:
    return Text(run.outcome.replace("_", " "), style=_TONES.get(run.outcome, ""))


def _outcome(run: RunSummary) -> Text:
    kind = " (made again)" if run.reproduces else " (winner)" if run.sweep else ""
    kind = " (search)" if run.kind == "search" else kind
    unmet = ", goal not met" if run.goals_met is False else ""
    return Text.assemble(_word(run), (kind, "dim"), (unmet, "red"))


def _started(run: RunSummary) -> Text:
    return Text(run.started[:16].replace("T", " "), style="dim")


def _how_far(run: RunSummary) -> Text:
    """Return steps, or trials, and of one that runs its speed and the time that is left."""
    if run.live is not None:
        return Text("  ".join(_live_parts(run)), style="cyan")
    if run.kind == "search":
        counts = ((run.num_stopped_early, "stopped early"), (run.num_failed, "failed"))
        parts = [f"{run.num_trials:,} trials"] if run.num_trials is not None else []
        return Text("  ".join([*parts, *(f"{count:,} {word}" for count, word in counts if count)]))
    parts = [f"{run.step:,} steps"] if run.step is not None else []
    if run.samples_per_second is not None:
        parts.append(f"{run.samples_per_second:,.0f} rows/s")
    return Text("  ".join(parts))


def _live_parts(run: RunSummary) -> list[str]:
    live = run.live or {}
    if run.kind == "search":
        total = live["num_trials"]
        parts = [f"{live['num_ended']:,}/{total:,} trials" if total else f"{live['num_ended']:,}"]
        parts.append(f"{live['num_running']:,} running")
        parts += [f"{live['num_failed']:,} failed"] if live["num_failed"] else []
    elif not live:
        return ["starting"]
    else:
        parts = [f"step {live['step']:,}/{live['total_steps']:,}"]
        silent_s = live["age_s"]
        is_silent = silent_s > SILENT_S
        parts.append(
            f"no news for {duration_text(round(silent_s))}"
            if is_silent
            else f"{live['rows_per_s']:,.0f} rows/s"
        )
    left_s = live.get("left_s")
    return [*parts, *([f"{duration_text(round(left_s))} left"] if left_s is not None else [])]


def _metrics(run: RunSummary, sort_key: str) -> Text:
    """Return the metrics of the test split, or of the validation split; but for a column's own."""
    live = run.live or {}
    if run.kind == "search" and live.get("best") is not None:
        return Text(f"best {live['metric']} {live['best']:.4g}", style="cyan")
    if live.get("validation"):
        name, value = live["validation"]
        return Text(f"{name} {value:.4g}", style="cyan")
    # The loss tells least, and comes last: it is left out first.
    names = sorted(run.metrics, key=lambda name: name.endswith("/loss"))
    known = {name: run.metrics[name] for name in names if name != sort_key}
    return Text(metrics_text(known, "test") or metrics_text(known, "validation"))


def _sort_column(runs: Sequence[RunSummary], key: str) -> list[FitColumn]:
    """Return a column for what runs are put in order by, unless it is there already."""
    if key in _SHOWN_KEYS:
        return []
    cells = [Text(_value(fields_of_run(run).get(key))) for run in runs]
    return [FitColumn(key, cells, is_number=True)]


def _value(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)

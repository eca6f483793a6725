"""A search in a terminal while it runs: how far it is, its best trials, and those that run."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from distrain.durations import duration_text
from distrain.report.fitting import EXTRA, FitColumn, FitTable, cut_parts

LEAST_HEIGHT: Final = 10
"""Lines of a terminal below which there is no table."""
LEAST_WIDTH: Final = 30
_AROUND: Final = 5
"""Lines of the terminal that the table leaves free."""
_TONES: Final = {
    "finished": "green",
    "stopped_early": "green",
    "failed": "red",
    "running": "cyan",
    "stopped": "dim",
}

Row = Mapping[str, Any]


def search_text(standing: Mapping[str, Any]) -> str:
    """Return one line of figures: trials, what became of them, the best so far, time left."""
    parts = [*_counts(standing), f"{standing['epochs']:,} epochs"]
    if standing["best"] is not None:
        trial, value = standing["best"]
        parts.append(f"best {standing['metric']} {value:.4g} (trial {trial})")
    return "  ".join([*parts, *_left(standing)])


def head_line(standing: Mapping[str, Any], width: int) -> Text:
    """Return the same for a terminal: what there is room for, the time that is left first.

    Args:
        standing: see `Course.standing`.
        width: letters of the line.
    """
    trials, running, *others = _counts(standing)
    parts = [trials, *_left(standing), running, *others, f"{standing['epochs']:,} epochs"]
    return cut_parts(Text("  ".join(parts)), max(1, width))


def trial_lines(
    standing: Mapping[str, Any], trials: Mapping[str, Any], width: int, height: int
) -> list[Text]:
    """Return the table of the best trials and of those that run; nothing where there is no room.

    Args:
        standing: see `Course.standing`.
        trials: see `leading_trials`.
        width: letters of a line.
        height: lines of the terminal.
    """
    best, running = trials["best"], trials["running"]
    room = height - _AROUND
    if height < LEAST_HEIGHT or width < LEAST_WIDTH or not (best or running):
        return []
    best = best[: max(1, min(len(best), room // 2))]
    running = running[: max(0, room - len(best) - 1)]
    rows = [*best, *running]
    shown = sum(row["state"] == "running" for row in rows)
    more = trials["num_running"] - shown
    table = FitTable(
        [
            FitColumn("", [_mark(row) for row in rows], least=1),
            FitColumn("trial", [Text(str(row["trial"])) for row in rows], is_number=True),
            FitColumn("state", [_state(row) for row in rows], least=7, goes=2),
            FitColumn("epoch", [Text(f"{row['epoch']:,}") for row in rows], is_number=True),
            FitColumn(
                str(standing["metric"]), [_score(row) for row in rows], least=10, is_number=True
            ),
            *_values(rows),
            FitColumn("took", [_took(row) for row in rows], goes=EXTRA, is_number=True),
        ],
        f"and {more:,} more running" if more > 0 else "",
    )
    return table.lines(width)


def left_s(standing: Mapping[str, Any]) -> float | None:
    """Return the seconds that are left at the pace so far; None: nobody can tell."""
    ended, total = standing["num_ended"], standing["num_trials"]
    return standing["wall_s"] / ended * (total - ended) if 0 < ended < total else None


def _counts(standing: Mapping[str, Any]) -> list[str]:
    words = (("num_waiting", "waiting for room"), ("num_stopped", "stopped"))
    return [
        f"{standing['num_ended']:,}/{standing['num_trials']:,} trials",
        f"{standing['num_running']} running",
        *(
            f"{standing[key]:,} {word}"
            for key, word in (*words, ("num_failed", "failed"))
            if standing.get(key)
        ),
    ]


def _left(standing: Mapping[str, Any]) -> list[str]:
    if standing.get("after"):
        return [standing["after"]]
    seconds = left_s(standing)
    return [] if seconds is None else [f"{duration_text(round(seconds))} left"]


def _mark(row: Row) -> Text:
    if row["is_best"]:
        return Text("★", style="yellow")
    return Text("▸", style="cyan") if row["state"] == "running" else Text(" ")


def _state(row: Row) -> Text:
    word = str(row["state"])
    return Text(word.replace("_", " "), style=_TONES.get(word, ""))


def _score(row: Row) -> Text:
    value = row["value"]
    return Text("-" if math.isnan(value) else f"{value:.5g}", style="bold" * row["is_best"])


def _took(row: Row) -> Text:
    return Text(duration_text(row["train_s"]), style="dim") if row["train_s"] else Text("")


def _values(rows: Sequence[Row]) -> list[FitColumn]:
    """Return a column for each key that trials differ in, the last of which go first."""
    keys = [*dict.fromkeys(key for row in rows for key in row["assignment"])]
    names = _short_names(keys)
    return [
        FitColumn(
            names[key],
            [Text(_value(row["assignment"].get(key))) for row in rows],
            least=5,
            goes=10 + place,
        )
        for place, key in enumerate(keys)
    ]


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last word of each dotted key; all of it where another ends so too."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {
        key: word if list(last.values()).count(word) == 1 else key for key, word in last.items()
    }


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)

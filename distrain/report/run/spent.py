"""Where the time went, and the money."""

from typing import Final

from distrain.cost import cost_of, gpu_hours, hours_and_money_text
from distrain.durations import duration_text
from distrain.past.clock import NAMES, Key
from distrain.past.story import PHASES
from distrain.report.page.frame import Axis
from distrain.report.page.lines import Lines, Series, lines
from distrain.report.page.markup import NOTHING, Markup, joined
from distrain.report.page.parts import (
    Column,
    Piece,
    Row,
    bar,
    note,
    stacked_bar,
    table,
)
from distrain.report.page.shell import Section
from distrain.report.page.style import Tone
from distrain.report.page.words import share_text
from distrain.report.run.curves import STEPS
from distrain.report.run.view import RunView

TONES: Final[dict[Key, Tone]] = {
    "ready": "r2",
    "start": "r4",
    "data": "s1",
    "compute": "s0",
    "reduce": "s2",
    "record": "s6",
    "evaluate": "s3",
    "checkpoint": "s4",
    "unsplit": "r6",
    "over": "s5",
    "leave": "r3",
    "package": "r5",
    "other": "muted",
}
_FEWEST_EPOCHS: Final = 3


def time_section(run: RunView) -> Section | None:
    """Return the parts of the wall time of all workers."""
    split = run.time
    if not split.parts:
        return None
    pieces = [
        Piece(NAMES[part.key], max(0.0, part.worker_s), duration_text(part.wall_s), TONES[part.key])
        for part in split.parts
    ]
    columns = [
        Column("part"),
        Column(""),
        Column("share", is_number=True),
        Column("by the clock", is_number=True),
        Column("x workers", is_number=True),
    ]
    rows = [
        Row(
            [
                NAMES[part.key],
                bar(max(0.0, part.worker_s) / split.worker_s, TONES[part.key]),
                share_text(part.worker_s / split.worker_s),
                _signed(part.wall_s),
                _signed(part.worker_s),
            ]
        )
        for part in split.parts
    ]
    whole = [duration_text(seconds) for seconds in (split.wall_s, split.worker_s)]
    rows.append(Row(["together", None, "100 %", *whole], "total"))
    content = joined(
        [stacked_bar(pieces), table(columns, rows), _between(run), _cost(run), _by_epoch(run)]
    )
    return Section("time", "Where the time went", content, _lead(run))


def run_gpu_hours(run: RunView) -> float:
    """Return the hours that GPUs were held, over all workers: from their start until they left."""
    return gpu_hours(run.time.held_s * run.gpus_per_worker)


def run_cost(run: RunView) -> float | None:
    """Return what the GPUs cost; None where there were none, or their price is not stated."""
    return cost_of(run_gpu_hours(run), _price(run))


def _price(run: RunView) -> float | None:
    price = run.setting("cluster.price_per_gpu_hour")
    return float(price) if isinstance(price, int | float) else None


def _lead(run: RunView) -> str:
    counts = {attempt.num_workers for attempt in run.story.attempts}
    if len(counts) > 1:
        how = "each part counts as often as there were workers then"
    else:
        workers = next(iter(counts), 1)
        how = f"{workers} worker{'s' if workers != 1 else ''}, who step together"
    return (
        f"{duration_text(run.time.wall_s)} from the command's first check to its end; {how}. "
        "An epoch's parts are as rank zero measured them."
    )


def _between(run: RunView) -> Markup:
    """Return how long nobody drove the run, between two commands."""
    seconds = run.time.between_s
    if seconds < 1:
        return NOTHING
    return note(f"Between its commands, {duration_text(seconds)} passed in which nobody drove it.")


def _by_epoch(run: RunView) -> Markup:
    """Return how the parts of an epoch went from one to the next; nothing for a few epochs."""
    curves = {key: run.story.points(f"time/{key}_s") for key in PHASES}
    series = [
        Series(NAMES[key], points, TONES[key])
        for key, points in curves.items()
        if any(value > 0 for _, value in points)
    ]
    if not series or len(series[0].points) < _FEWEST_EPOCHS:
        return NOTHING
    return lines(Lines("Seconds of each epoch", series, x=STEPS, y=Axis("seconds", from_zero=True)))


def _signed(seconds: float) -> str:
    return duration_text(seconds) if seconds >= 0 else f"−{duration_text(-seconds)}"  # noqa: RUF001


def _cost(run: RunView) -> Markup:
    """Return the hours of GPUs, and what they cost where their price is stated."""
    hours = run_gpu_hours(run)
    return note(f"{hours_and_money_text(hours, _price(run))}.") if hours else NOTHING

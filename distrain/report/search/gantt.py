"""When trials ran, and how many at a time."""

from typing import Final

from distrain.durations import duration_text
from distrain.report.page.frame import figure
from distrain.report.page.markup import Markup, joined, tag
from distrain.report.page.room import Room, Size, words
from distrain.report.page.style import Tone
from distrain.report.page.words import counted
from distrain.report.search.plot import TONES, WINNER, kinds_legend, title_of
from distrain.report.search.savings import places
from distrain.report.search.times import TimeAxis, resumed
from distrain.report.search.trial import TrialView
from distrain.report.search.view import SearchView

_LATER: Final[dict[str, tuple[str, Tone]]] = {
    "confirm": ("winner with other seeds", "s6"),
    "audit": ("audited stop", "s3"),
}
_LETTER: Final = 7.0
_MOST_HIGH: Final = 22.0
_LEAST_HIGH: Final = 3.0
_ROOM: Final = 420.0


def gantt(search: SearchView, winner: int | None) -> Markup:
    """Return when each trial ran; those that ran at one time lie in different rows.

    Args:
        search: the search.
        winner: its number; None: there is none.
    """
    rows = places([*search.trials, *search.told.later])
    across = TimeAxis(search.told.shown_s)
    high = max(_LEAST_HIGH, min(_MOST_HIGH, _ROOM / max(1, len(rows))))
    size = Size(1020, round(high * len(rows)) + 66, "wide")
    room = Room(size, across.ticks, (), across.label)
    bars: dict[Tone, list[Markup]] = {}
    for at, row in enumerate(rows):
        for begin, end, trial in row:
            box = (room.x_at(across.at(begin)), room.top + at * high, across.at(end), high)
            tone = _tone(trial, winner)
            bars.setdefault(tone, []).append(_bar(room, box, trial, end - begin))
    shapes = [
        *(tag("g", *drawn, class_=f"area {tone}") for tone, drawn in bars.items()),
        *resumed(search.told.resumed_s, room, across),
        room.axes(),
    ]
    return figure(
        size,
        joined(shapes),
        caption=f"{counted(len(search.trials), 'trial')} in time, at most {len(rows):,} at once",
        lead="A bar is a stretch in which a trial ran. The log does not name its place: what ran "
        "at one time has a row each.",
        items=_legend(search, winner),
    )


def _bar(
    room: Room, box: tuple[float, float, float, float], trial: TrialView, seconds: float
) -> Markup:
    x, y, end, high = box
    wide = max(0.8, room.x_at(end) - x)
    gap = 1.0 if high > 6 else 0.3
    drawn = tag(
        "rect",
        tag("title", f"{title_of(trial)}, ran {duration_text(seconds)}"),
        x=x,
        y=y,
        width=max(0.6, wide - (0.6 if wide > 3 else 0)),
        height=high - gap,
        rx=2 if high > 10 and wide > 6 else None,
    )
    text = str(trial.origin[1])
    if high < 14 or wide < len(text) * _LETTER + 6:
        return drawn
    label = words(x + wide / 2, y + high / 2 + 3.5, text, anchor="middle", name="strong")
    return joined([drawn, label])


def _tone(trial: TrialView, winner: int | None) -> Tone:
    if trial.origin[0] in _LATER and trial.kind != "failed":
        return _LATER[trial.origin[0]][1]
    return WINNER if trial.number == winner else TONES[trial.kind]


def _legend(search: SearchView, winner: int | None) -> list[tuple[str, Tone]]:
    later = {trial.origin[0] for trial in search.told.later}
    ran = [trial for trial in search.trials if trial.spans]
    return [
        *kinds_legend(ran, has_winner=winner is not None),
        *(shown for name, shown in _LATER.items() if name in later),
    ]

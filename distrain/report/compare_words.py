"""The values of a comparison in words, for a terminal and a page alike."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from distrain.compare.outcome import Outcome, Value
from distrain.compare.what_differs import Row
from distrain.durations import duration_text
from distrain.evaluate.comparison import Comparison

ABSENT = "-"
LONGEST = 160
_DIGITS = (4, 6, 9)
_SHOWN_OF_DIGEST = 12

Verdict = Literal["better", "worse", "open"]


def value_texts(outcome: Outcome) -> list[str]:
    """Return the values of what came of runs, with as many digits as tell them apart."""
    if outcome.kind == "seconds":
        return [_duration(value) for value in outcome.values]
    if outcome.kind == "digest":
        return [ABSENT if v is None else str(v)[:_SHOWN_OF_DIGEST] for v in outcome.values]
    return texts_of(outcome.values)


def texts_of(values: Sequence[Value]) -> list[str]:
    """Return values as texts, numbers with as many digits as tell them apart."""
    for digits in _DIGITS:
        shown = [_shown(value, digits) for value in values]
        if len(set(shown)) == len(set(map(repr, values))):
            return shown
    return [ABSENT if value is None else shortened(str(value)) for value in values]


def cause_texts(row: Row) -> list[str]:
    """Return the values of what differs; long ones are cut, but not where they are the same.

    Numbers are those of the configuration alone: a library's version 2.10 is not 2.1.
    """
    values = row.values
    numbers = [_number(value) if row.part == "configuration" else None for value in values]
    if any(number is not None for number in numbers):
        return texts_of([n if n is not None else v for n, v in zip(numbers, values, strict=True)])
    return [ABSENT if value is None else shortened(value) for value in values]


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return a text of at most so many letters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Return where a value may lie, such as `[0.849, 0.86]`; nothing where that is not known."""
    if interval is None or not all(map(math.isfinite, interval)):
        return ""
    return f"[{interval[0]:.4g}, {interval[1]:.4g}]"


def gain_text(gain: Comparison) -> tuple[str, Verdict]:
    """Return how much better a run is than the first, in words, and whether that is certain."""
    if gain.gain == 0 or not math.isfinite(gain.gain):
        return "equal" if gain.gain == 0 else "", "open"
    is_more = gain.gain > 0
    ends = (gain.low, gain.high) if is_more else (-gain.high, -gain.low)
    word = "better" if is_more else "worse"
    told = f"{word} by {abs(gain.gain):.3g} [{ends[0]:.3g}, {ends[1]:.3g}]"
    if ends[0] > 0:
        return told, "better" if is_more else "worse"
    return f"{told}, may be chance", "open"


def same_text(counts: Mapping[str, int]) -> str:
    """Return how much is the same in all, such as `48 of configuration, 94 of libraries`."""
    return ", ".join(f"{count:,} of {part}" for part, count in counts.items() if count)


def _number(text: str | None) -> float | None:
    """Return the number that a text is; whole ones stay as they are written."""
    if text is None or text.lstrip("-").isdigit():
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _shown(value: Value, digits: int) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, str):
        return shortened(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e9):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.{digits}g}"


def _duration(value: Value) -> str:
    return ABSENT if not isinstance(value, int | float) else duration_text(value)

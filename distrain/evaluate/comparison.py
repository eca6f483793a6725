"""Two models compared on the same rows: is one better than the other by more than chance?

A paired bootstrap (Efron & Tibshirani 1993, chapter 16): rows are drawn anew with replacement, the
same ones for both models, and both are measured on them. Three one-sided p-values come of it, and
the largest counts:

- how often the gain of a draw is no gain;
- how often it is above the measured one by as much as that is above none. Where few rows tell the
  models apart, the former is too small: with three rows, all in favour, it is 0.050, where a coin
  falls so once in eight times; this one is 0.08;
- the tail of a normal distribution of the draws' spread, which still tells levels apart that are
  stricter than any number of draws.

`tests/bench/gate.py` simulates how often models that do not differ are told apart.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats], Floats]
"""How often each row was drawn, `(draws, rows)`, to the metric of each draw, `(draws,)`."""

NUM_DRAWS: Final = 2_000
# A strict level is reached by few draws, so it takes more of them.
_DRAWS_BY_LEVEL: Final = 20
_MAX_DRAWS: Final = 20_000
# Numbers held at once: 32 MiB as float64.
_CHUNK: Final = 2**22
_NORMAL: Final = NormalDist()


@final
@dataclass(frozen=True)
class Comparison:
    """A candidate measured against a holder on the same rows.

    Attributes:
        metric: its name, without a split.
        candidate: its value for the candidate.
        holder: its value for the holder.
        gain: how much better the candidate is, in the metric's unit; below 0: worse.
        low: lower end of the gain's interval; it is below it with a chance of `level`.
        high: upper end, likewise.
        p: the chance of such a gain where there is none, one-sided.
        level: what `p` must not exceed.
        num_rows: how many rows.
    """

    metric: str
    candidate: float
    holder: float
    gain: float
    low: float
    high: float
    p: float
    level: float
    num_rows: int

    @property
    def is_better(self) -> bool:
        """Return whether the candidate is better by more than chance."""
        return self.gain > 0 and self.p <= self.level


@final
@dataclass(frozen=True)
class Drawn:
    """A metric of one model's predictions.

    Attributes:
        value: of all rows, each once.
        draws: of each draw of rows, `(draws,)`.
    """

    value: float
    draws: Floats


@final
@dataclass(frozen=True)
class Question:
    """What is asked of two models.

    Attributes:
        metric: its name.
        mode: whether less or more is better.
        level: the chance of calling a candidate better that is not, in (0, 1).
    """

    metric: str
    mode: Literal["min", "max"]
    level: float


def compare(
    question: Question, candidate: Measure, holder: Measure, num_rows: int, *, seed: int = 0
) -> Comparison:
    """Return how much better the candidate is than the holder, and whether by more than chance.

    Takes about 15 ns for each row and draw, beside the metric.

    Args:
        question: metric, mode and level.
        candidate: measures the candidate's predictions.
        holder: measures the holder's, of the same rows in the same order.
        num_rows: how many rows, at least 1.
        seed: of the draws.
    """
    num_draws = num_draws_at(question.level)
    first, second = draw([candidate, holder], num_rows, num_draws, seed=seed)
    return compare_drawn(question, first, second, num_rows)


def num_draws_at(level: float) -> int:
    """Return how many draws tell chances of a level, in (0, 1)."""
    return min(max(NUM_DRAWS, math.ceil(_DRAWS_BY_LEVEL / level)), _MAX_DRAWS)


def draw(
    measures: Sequence[Measure], num_rows: int, num_draws: int, *, seed: int = 0
) -> list[Drawn]:
    """Return what several predictions of the same rows are measured to be, on the same draws.

    Args:
        measures: each measures predictions, of the same rows in the same order.
        num_rows: how many rows, at least 1.
        num_draws: how many draws.
        seed: of the draws.
    """
    once = np.ones((1, num_rows))
    values = [float(measure(once)[0]) for measure in measures]
    parts = [[measure(d) for measure in measures] for d in _draws(num_rows, num_draws, seed)]
    return [
        Drawn(value, np.concatenate(of_measure))
        for value, of_measure in zip(values, zip(*parts, strict=True), strict=True)
    ]


def interval(drawn: Drawn, level: float) -> tuple[float, float]:
    """Return the ends of an interval that a metric is outside of with twice a chance.

    Args:
        drawn: the metric; where it is not defined on the rows of a draw, that one is left out.
        level: the chance for either end, in (0, 1 / 2).
    """
    defined = drawn.draws[~np.isnan(drawn.draws)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [level, 1 - level])
    return float(low), float(high)


def compare_drawn(question: Question, candidate: Drawn, holder: Drawn, num_rows: int) -> Comparison:
    """Return how much better the candidate is, from what both were on the same draws.

    Args:
        question: metric, mode and level.
        candidate: what it was measured to be.
        holder: likewise.
        num_rows: how many rows.
    """
    sign = 1.0 if question.mode == "max" else -1.0
    values = candidate.value, holder.value
    gain = sign * (values[0] - values[1])
    gains = sign * (candidate.draws - holder.draws)
    # Where a metric is not defined on the rows drawn, nothing speaks for the candidate.
    gains = np.where(np.isnan(gains), -math.inf, gains)
    spread = _spread(gains)
    low, high = np.quantile(gains, [question.level, 1 - question.level], method="lower")
    reach = _NORMAL.inv_cdf(1 - question.level) * spread
    return Comparison(
        question.metric,
        *values,
        gain,
        min(float(low), gain - reach),
        max(float(high), gain + reach),
        # Sums of the same numbers in another order differ in their last digits.
        _p_value(gain, gains, spread, least=1e-12 * max(map(abs, values))),
        question.level,
        num_rows,
    )


def _spread(gains: Floats) -> float:
    defined = gains[np.isfinite(gains)]
    return float(defined.std()) if len(defined) else 0.0


def _p_value(gain: float, gains: Floats, spread: float, least: float) -> float:
    if not gain > 0:
        return 1.0
    as_drawn = float((gains <= least).mean())
    around_none = float((gains >= 2 * gain - least).mean())
    normal = _NORMAL.cdf(-gain / spread) if spread > 0 else 0.0
    return max(as_drawn, around_none, normal)


def _draws(num_rows: int, num_draws: int, seed: int) -> Iterator[Floats]:
    """Yield how often each row is drawn, `(some draws, rows)`, until there are enough."""
    random = np.random.Generator(np.random.PCG64(seed))
    step = max(1, _CHUNK // num_rows)
    for start in range(0, num_draws, step):
        count = min(step, num_draws - start)
        rows = random.integers(0, num_rows, (count, num_rows))
        rows += np.arange(count)[:, None] * num_rows
        drawn = np.bincount(rows.ravel(), minlength=count * num_rows)
        yield drawn.reshape(count, num_rows).astype(np.float64)

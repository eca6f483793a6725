"""Statistics of training rows: computed on each run, combined in the order of the runs.

Source: the combination of means and squared deviations is that of Chan, Golub & LeVeque (1979).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
# So many of the most frequent categories of a run are counted, for each that gets a place; and so
# many are kept over all runs.
_COUNTED_IN_RUN: Final = 8
_COUNTED_VALUES: Final = 200_000


@final
@dataclass(frozen=True)
class NumberStatistics:
    """Finite numbers of some rows.

    Args:
        count: how many.
        num_missing: rows without a finite number.
        mean: their mean.
        squares: the sum of squared deviations from it.
        low: the least.
        high: the greatest.
        num_low: how many are the least.
        num_high: how many are the greatest.
        samples: for each run sorted numbers that stand for all of its, and for how many each.
    """

    count: int
    num_missing: int
    mean: float
    squares: float
    low: float
    high: float
    num_low: int
    num_high: int
    samples: tuple[tuple[Floats, float], ...]

    @classmethod
    def of(cls, numbers: Floats, sample_size: int) -> "NumberStatistics":
        """Return the statistics of numbers (NaN and infinite ones count as missing), `(n,)`."""
        # Own memory: numpy sums in another order where an array on mapped memory is unaligned.
        finite = numbers[np.isfinite(numbers)]
        count, num_missing = len(finite), len(numbers) - len(finite)
        if not count:
            return cls(0, num_missing, 0.0, 0.0, np.inf, -np.inf, 0, 0, ())
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(finite.mean())
            squares = float(np.square(finite - mean).sum())
        finite.sort()
        size = min(sample_size, count)
        places = ((np.arange(size) + 0.5) * (count / size)).astype(np.int64)
        return cls(
            count,
            num_missing,
            mean,
            squares,
            float(finite[0]),
            float(finite[-1]),
            int(np.searchsorted(finite, finite[0], side="right")),
            count - int(np.searchsorted(finite, finite[-1], side="left")),
            ((finite[places], count / size),),
        )

    @property
    def deviation(self) -> float:
        """Return the standard deviation (of the rows themselves: divided by their number)."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    @property
    def median(self) -> float:
        """Return the median, exact where `samples` are all of the numbers; 0 for none."""
        if not self.count:
            return 0.0
        sample = np.concatenate([part for part, _ in self.samples])
        weights = np.repeat([each for _, each in self.samples], [len(p) for p, _ in self.samples])
        order = np.argsort(sample, kind="stable")
        reached = np.cumsum(weights[order])
        half = reached[-1] / 2
        place = int(np.searchsorted(reached, half))
        next_place = min(place + (reached[place] == half), len(order) - 1)
        return float((sample[order[place]] + sample[order[next_place]]) / 2)

    def skewness(self, *, of_logs: bool = False) -> float:
        """Return the third standardised moment, as far as `samples` show it; 0 for equal numbers.

        Args:
            of_logs: whether each number becomes sign(x) log(1 + |x|) first.
        """
        if not self.samples:
            return 0.0
        numbers = np.concatenate([part for part, _ in self.samples])
        if of_logs:
            numbers = np.sign(numbers) * np.log1p(np.abs(numbers))
        weights = np.repeat([each for _, each in self.samples], [len(p) for p, _ in self.samples])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            centred = numbers - np.average(numbers, weights=weights)
            spread = np.sqrt(np.average(np.square(centred), weights=weights))
            scaled = centred / spread
            skewness = float(np.average(scaled * scaled * scaled, weights=weights))
        return skewness if np.isfinite(skewness) else 0.0


@final
@dataclass(frozen=True)
class CategoryStatistics:
    """Categories of some rows: rows by value as text, and rows without one."""

    counts: dict[str, int]
    num_missing: int

    @classmethod
    def of(cls, text: pa.Array, max_categories: int) -> "CategoryStatistics":
        """Return the statistics of text, null for missing, `(n,)`; the rarest of many are left out.

        Args:
            text: the values.
            max_categories: how many will get a place.
        """
        counted = pc.value_counts(text.drop_null())
        values, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
        by_value = dict(zip(values, counts, strict=True))
        return cls.most(by_value, text.null_count, max_categories)

    @classmethod
    def most(
        cls, counts: dict[str, int], num_missing: int, max_categories: int
    ) -> "CategoryStatistics":
        """Return the statistics of counted values; the rarest of many are left out.

        Args:
            counts: rows by value.
            num_missing: rows without one.
            max_categories: how many will get a place.
        """
        return cls(dict(most_frequent(counts, _COUNTED_IN_RUN * max_categories)), num_missing)


@final
@dataclass(frozen=True)
class PixelStatistics:
    """Pixels of some images by channel, in whole numbers, so that no order matters."""

    count: int
    sums: tuple[int, ...]
    squares: tuple[int, ...]

    @classmethod
    def of(cls, images: npt.NDArray[np.uint8]) -> "PixelStatistics":
        """Return the statistics of images, shape `(n, channels, height, width)`."""
        channels = range(images.shape[1])
        histograms = [np.bincount(images[:, c].reshape(-1), minlength=256) for c in channels]
        values = np.arange(256)
        return cls(
            images[:, 0].size,
            tuple(int((counts * values).sum()) for counts in histograms),
            tuple(int((counts * values**2).sum()) for counts in histograms),
        )

    def mean_and_deviation(self, scale: float) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of pixel / scale by channel."""
        means = [total / self.count for total in self.sums]
        # Whole numbers before the division: no cancellation.
        spreads = [
            (self.count * square - total * total) ** 0.5 / self.count
            for total, square in zip(self.sums, self.squares, strict=True)
        ]
        return [mean / scale for mean in means], [spread / scale for spread in spreads]


def most_frequent(counts: dict[str, int], limit: int) -> list[tuple[str, int]]:
    """Return the most frequent values with their counts; of equal ones the lesser text first."""
    return heapq.nsmallest(limit, counts.items(), key=lambda item: (-item[1], item[0]))


def combine_numbers(parts: Sequence[NumberStatistics]) -> NumberStatistics:
    """Return the statistics of all rows together, given in their order."""
    samples = tuple(sample for part in parts for sample in part.samples)
    return replace(reduce(_combine_two, parts), samples=samples)


def combine_categories(parts: Sequence[CategoryStatistics]) -> CategoryStatistics:
    """Return the statistics of all rows together."""
    counts: dict[str, int] = {}
    for part in parts:
        for value, number in part.counts.items():
            counts[value] = counts.get(value, 0) + number
        if len(counts) > 2 * _COUNTED_VALUES:
            counts = dict(most_frequent(counts, _COUNTED_VALUES))
    return CategoryStatistics(counts, sum(part.num_missing for part in parts))


def combine_pixels(parts: Sequence[PixelStatistics]) -> PixelStatistics:
    """Return the statistics of all images together."""
    return PixelStatistics(
        sum(part.count for part in parts),
        tuple(map(sum, zip(*(part.sums for part in parts), strict=True))),
        tuple(map(sum, zip(*(part.squares for part in parts), strict=True))),
    )


def _combine_two(one: NumberStatistics, two: NumberStatistics) -> NumberStatistics:
    num_missing = one.num_missing + two.num_missing
    count = one.count + two.count
    low, high = min(one.low, two.low), max(one.high, two.high)
    with np.errstate(over="ignore", invalid="ignore"):
        step = two.mean - one.mean
        share = two.count / count if count else 0.0
        mean = one.mean + step * share
        squares = one.squares + two.squares + step * step * one.count * share
    return NumberStatistics(
        count,
        num_missing,
        mean,
        squares,
        low,
        high,
        sum(part.num_low for part in (one, two) if part.low == low),
        sum(part.num_high for part in (one, two) if part.high == high),
        (),
    )

"""Statistics of runs, combined: those of all rows."""

import numpy as np
import pyarrow as pa
import pytest

from distrain.data.statistics import (
    CategoryStatistics,
    NumberStatistics,
    PixelStatistics,
    combine_categories,
    combine_numbers,
    combine_pixels,
    most_frequent,
)

NUMBERS = np.random.default_rng(0).standard_normal(5_000) * 3 + 1e6


def combined(parts: list[np.ndarray], sample_size: int = 10_000) -> NumberStatistics:
    return combine_numbers([NumberStatistics.of(part, sample_size) for part in parts])


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_combined_statistics_are_those_of_all_rows(pieces: int) -> None:
    numbers = combined(np.array_split(NUMBERS, pieces))
    assert numbers.count == len(NUMBERS)
    assert numbers.mean == pytest.approx(NUMBERS.mean(), rel=1e-14)
    assert numbers.deviation == pytest.approx(NUMBERS.std(), rel=1e-9)
    assert numbers.median == np.median(NUMBERS)
    assert (numbers.low, numbers.high) == (NUMBERS.min(), NUMBERS.max())


def test_missing_and_infinite_numbers_are_counted_apart() -> None:
    numbers = combined([np.array([1.0, np.nan, np.inf]), np.array([np.nan]), np.array([3.0])])
    assert (numbers.count, numbers.num_missing) == (2, 3)
    assert (numbers.mean, numbers.median, numbers.deviation) == (2.0, 2.0, 1.0)


def test_column_without_numbers_has_statistics_all_the_same() -> None:
    numbers = combined([np.array([np.nan])])
    assert (numbers.count, numbers.deviation, numbers.median) == (0, 0.0, 0.0)


def test_extremes_are_counted() -> None:
    numbers = combined([np.array([5.0, 5.0, 1.0]), np.array([5.0, 1.0]), np.array([2.0])])
    assert (numbers.num_low, numbers.num_high) == (2, 3)


def test_sampled_median_is_close() -> None:
    numbers = combined(np.array_split(NUMBERS, 5), sample_size=64)
    assert [len(sample) for sample, _ in numbers.samples] == [64] * 5
    assert numbers.median == pytest.approx(np.median(NUMBERS), abs=0.1)


def test_bits_do_not_depend_on_where_the_numbers_lie() -> None:
    moved = np.frombuffer(b"\0" + NUMBERS.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    assert not moved.flags.aligned
    one, two = NumberStatistics.of(NUMBERS, 100), NumberStatistics.of(moved, 100)
    assert (one.mean, one.squares) == (two.mean, two.squares)


def test_categories_are_counted_together() -> None:
    parts = [pa.array(["b", "a", None]), pa.array(["b", "c"])]
    counts = combine_categories([CategoryStatistics.of(part, 255) for part in parts])
    assert counts.counts == {"b": 2, "a": 1, "c": 1}
    assert counts.num_missing == 1
    assert most_frequent(counts.counts, 2) == [("b", 2), ("a", 1)]


def test_pixels_have_mean_and_deviation_by_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 2, 3, 4), dtype=np.uint8)
    pixels = combine_pixels([PixelStatistics.of(part) for part in np.array_split(images, 3)])
    mean, deviation = pixels.mean_and_deviation(255.0)
    assert np.allclose(mean, images.mean(axis=(0, 2, 3)) / 255)
    assert np.allclose(deviation, images.std(axis=(0, 2, 3)) / 255)

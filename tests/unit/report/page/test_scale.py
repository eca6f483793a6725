"""Where values lie along an axis, and which are written beside it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distrain.report.page.scale import Scale, round_ticks, scale_of, tick_text

NUMBERS = st.floats(-1e12, 1e12)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 240, [0, 50, 100, 150, 200]),
        (0.97, 1.0, [0.97, 0.98, 0.99, 1.0]),
        (-3.2, 4.1, [-2, 0, 2, 4]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert round_ticks(low, high) == pytest.approx(expected)


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_all_values_have_a_place_and_ticks_lie_among_them(values: list[float]) -> None:
    scale = scale_of(values)
    width = scale.high - scale.low

    assert all(-1e-9 <= (scale.place(value) or 0.0) <= 1 + 1e-9 for value in values)
    assert all(
        scale.low - width / 1e6 <= tick <= scale.high + width / 1e6 for tick in scale.ticks()
    )
    assert len(scale.ticks()) <= 12


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=5))
def test_equal_ratios_are_equal_lengths_on_a_log_scale(values: list[float]) -> None:
    scale = scale_of(values, is_log=True)
    middle = math.sqrt(scale.low) * math.sqrt(scale.high)

    assert scale.place(middle) == pytest.approx(0.5)
    assert all(tick > 0 for tick in scale.ticks())


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0])
def test_some_values_have_no_place_on_a_log_scale(value: float) -> None:
    assert Scale(1e-3, 1.0, is_log=True).place(value) is None


def test_a_log_scale_over_a_few_decades_names_powers_of_ten() -> None:
    assert Scale(1e-4, 1e-1, is_log=True).ticks() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])


def test_no_values_have_a_scale_too() -> None:
    assert scale_of([math.nan]) == Scale(0.0, 1.0)
    assert scale_of([-1.0], is_log=True).is_log


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (1500, "1,500"),
        (20_000, "20k"),
        (3e6, "3M"),
        (1e-4, "1e-4"),
        (5e-4, "0.0005"),
    ],
)
def test_labels_are_short(value: float, text: str) -> None:
    assert tick_text(value) == text

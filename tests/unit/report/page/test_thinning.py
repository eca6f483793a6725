"""Curves of fewer points that look the same."""

from hypothesis import given
from hypothesis import strategies as st

from distrain.report.page.thinning import FEWEST, MOST, points_each, thinned

CURVES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


@given(CURVES, st.integers(4, 60))
def test_peak_dip_and_ends_stay(values: list[float], most: int) -> None:
    points = [(float(at), value) for at, value in enumerate(values)]

    kept = thinned(points, most)

    assert len(kept) <= max(most, 4)
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert max(value for _, value in kept) == max(values)
    assert min(value for _, value in kept) == min(values)


def test_a_short_curve_stays_whole() -> None:
    points = [(0.0, 1.0), (1.0, 5.0), (2.0, 1.0)]

    assert thinned(points, 4) == points


def test_many_curves_have_few_points_each() -> None:
    assert points_each(1) == MOST
    assert points_each(1000) == 12
    assert points_each(100_000) == FEWEST

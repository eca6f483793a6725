"""Durations read in the units that matter."""

import pytest

from distrain.durations import duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.24, "240 ms"),
        (0.9996, "1 s"),
        (4.21, "4.2 s"),
        (42, "42 s"),
        (59.97, "1 min 0 s"),
        (185, "3 min 5 s"),
        (3599.6, "1 h 0 min"),
        (7800, "2 h 10 min"),
        (3600 * 1234, "1,234 h 0 min"),
    ],
)
def test_a_duration_has_the_units_that_matter(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text

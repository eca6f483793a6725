"""Numbers as people read them."""

import math

import pytest

from distrain.report.page.words import number_text, share_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),  # noqa: RUF001 - an en dash
        (math.nan, "not a number"),
        (12345, "12,345"),
        (12345.6, "12,346"),
        (0.93181, "0.9318"),
        (1.234e-7, "1.234e-07"),
        (-2.0, "-2"),
    ],
)
def test_a_number_has_four_digits(value: float | None, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0004, "<0.1 %"), (0.0344, "3.4 %"), (0.97, "97 %"), (1, "100 %")],
)
def test_a_share_is_a_percentage(share: float, text: str) -> None:
    assert share_text(share) == text

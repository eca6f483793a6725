"""What GPUs cost is told in hours and money, and not at all where either is unknown."""

import pytest

from distrain.cost import cost_of, estimate_text, gpu_hours, hours_text, money_text, took_text


@pytest.mark.parametrize(
    ("gpus", "price", "cost"), [(0.5, 3.0, 0.5 * 2 * 3.0), (0.0, 3.0, None), (1.0, None, None)]
)
def test_the_cost_is_gpu_hours_times_their_price(
    gpus: float, price: float | None, cost: float | None
) -> None:
    assert cost_of(gpu_hours(gpus * 7200.0), price) == cost


@pytest.mark.parametrize(
    ("hours", "text"), [(0.012345, "0.01235 GPU-hours"), (12345.6, "12,346 GPU-hours")]
)
def test_hours_have_four_digits(hours: float, text: str) -> None:
    assert hours_text(hours) == text


@pytest.mark.parametrize(
    ("hours", "price", "told"),
    [
        (0.0, 2.5, "1 min 5 s; no GPU"),
        (4.0, None, "1 min 5 s; 4 GPU-hours"),
        (4.0, 2.5, "1 min 5 s; 4 GPU-hours: 10.00 at 2.5 for a GPU-hour"),
        (12345.6, 2.5, "1 min 5 s; 12,346 GPU-hours: 30,864.00 at 2.5 for a GPU-hour"),
    ],
)
def test_what_a_run_took_is_told_in_time_gpu_hours_and_money(
    hours: float, price: float | None, told: str
) -> None:
    assert took_text(65.0, hours, price) == told


def test_the_ends_of_a_cost_are_told_where_they_read_otherwise() -> None:
    assert money_text(10.001, 10.004) == "10.00"
    assert estimate_text(10.0, 1250.0).startswith("10.00 to 1,250.00 for the GPUs")
    assert estimate_text(None, 1.0) == ""

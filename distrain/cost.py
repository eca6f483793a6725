"""What GPUs cost: hours that they are held, and money where their price is stated. Pure.

The currency is that of `cluster.price_per_gpu_hour`.
"""

from typing import Final

from distrain.durations import duration_text

_HOUR_S: Final = 3600
_WHOLE_HOURS: Final = 1000
"""From so many on, hours are told without decimals."""


def gpu_hours(gpu_s: float) -> float:
    """Return hours of GPUs.

    Args:
        gpu_s: seconds that they are held, those of each GPU counted.
    """
    return gpu_s / _HOUR_S


def cost_of(hours: float, price: float | None) -> float | None:
    """Return what hours of GPUs cost; None: there are none, or no price is stated.

    Args:
        hours: of GPUs.
        price: of a GPU for an hour.
    """
    return hours * price if hours and price else None


def hours_text(hours: float) -> str:
    """Return hours of GPUs: 12,346 GPU-hours, 4.25 GPU-hours."""
    return f"{hours:,.0f} GPU-hours" if hours >= _WHOLE_HOURS else f"{hours:.4g} GPU-hours"


def money_text(low: float, high: float | None = None) -> str:
    """Return a cost with its cents: 10.00, or 10.00 to 12.50.

    Args:
        low: the cost, or the least that it may be.
        high: the most; None: it is known.
    """
    ends = [f"{end:,.2f}" for end in (low, low if high is None else high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def estimate_text(low: float | None, high: float | None) -> str:
    """Return what GPUs will cost, from and to; empty: it is not known."""
    if low is None or high is None:
        return ""
    return f"{money_text(low, high)} for the GPUs, by cluster.price_per_gpu_hour"


def hours_and_money_text(hours: float, price: float | None) -> str:
    """Return hours of GPUs, and what they cost where their price is stated.

    Args:
        hours: of GPUs, more than 0.
        price: of a GPU for an hour.
    """
    cost = cost_of(hours, price)
    told = hours_text(hours)
    return told if cost is None else f"{told}: {money_text(cost)} at {price:,g} for a GPU-hour"


def took_text(wall_s: float, hours: float, price: float | None) -> str:
    """Return what a run or a search took: time, hours of GPUs, and money.

    Args:
        wall_s: by the clock.
        hours: of GPUs; 0: there were none.
        price: of a GPU for an hour.
    """
    told = hours_and_money_text(hours, price) if hours else "no GPU"
    return f"{duration_text(wall_s)}; {told}"

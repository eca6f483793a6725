"""Numbers as a page shows them."""

import math


def number_text(value: float | None) -> str:
    """Return a number to four significant digits: 12,345 · 0.9318 · 1.2e-05; a dash for none."""
    if value is None:
        return "–"  # noqa: RUF001 - an en dash, as tables have it
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")  # noqa: RUF001
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def counted(count: int, name: str) -> str:
    """Return a number of things: 1 trial, 1,000 trials."""
    return f"1 {name}" if count == 1 else f"{count:,} {name}s"


def share_text(share: float) -> str:
    """Return a share as a percentage: 0 %, <0.1 %, 3.4 %, 97 %."""
    percent = 100 * share
    if percent and abs(percent) < 0.1:
        return "<0.1 %"
    return f"{percent:.0f} %" if abs(percent) >= 10 or percent == 0 else f"{percent:.1f} %"

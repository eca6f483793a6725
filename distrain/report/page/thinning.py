"""Fewer points of a curve, that look the same."""

from collections.abc import Sequence

Point = tuple[float, float]

POINTS_OF_A_FIGURE = 12_000
"""Points of all curves of a figure together: with some 9 bytes each, a tenth of a page's size."""
FEWEST, MOST = 8, 600


def points_each(num_series: int) -> int:
    """Return how many points each of so many curves may have in one figure."""
    return max(FEWEST, min(MOST, POINTS_OF_A_FIGURE // max(1, num_series)))


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most `most` of a curve's points: of each stretch its lowest and its highest.

    The first and the last stay, and so do peaks and dips; the order is kept.

    Args:
        points: x ascending.
        most: at least 4.
    """
    if len(points) <= most:
        return list(points)
    inner = points[1:-1]
    num_stretches = (most - 2) // 2
    kept = [points[0]]
    for index in range(num_stretches):
        begin = index * len(inner) // num_stretches
        end = (index + 1) * len(inner) // num_stretches
        stretch = range(begin, end)
        ends = {
            min(stretch, key=lambda at: inner[at][1]),
            max(stretch, key=lambda at: inner[at][1]),
        }
        kept += [inner[at] for at in sorted(ends)]
    return [*kept, points[-1]]

"""The score over two parameters, smoothed between trials and left blank where there are none. Pure.

Each place has the mean of the trials around it, by a Gaussian of their distance along the axes
(Nadaraya and Watson 1964); values that are listed, in no order, lend nothing to each other.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from distrain.report.search.dimension import Dimension
from distrain.report.search.importance import Basis

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CELLS: Final = 96
"""Cells along an axis of numbers."""
_LEAST_WEIGHT: Final = 0.3  # about one trial within one and a half widths of the Gaussian


@final
@dataclass(frozen=True)
class Surface:
    """Smoothed scores of cells.

    Attributes:
        x: the parameter across.
        y: the parameter up.
        cells: the score of each cell, `(rows from the bottom, columns)`; None: no trial is near.
    """

    x: Dimension
    y: Dimension
    cells: tuple[tuple[float | None, ...], ...]


def surface(basis: Basis, x: Dimension, y: Dimension) -> Surface:
    """Return the surface of two parameters.

    Args:
        basis: the trials and their values.
        x: across.
        y: up.
    """
    import numpy as np

    placed = [
        (x.place_in(trial.values), y.place_in(trial.values), value)
        for trial, value in zip(basis.trials, basis.values, strict=True)
    ]
    known = np.array([one for one in placed if None not in one], dtype=float).reshape(-1, 3)
    near_x = _nearness(x, known[:, 0])
    near_y = _nearness(y, known[:, 1])
    weights = near_y @ near_x.T
    sums = (near_y * known[:, 2]) @ near_x.T
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / weights
    cells = tuple(
        tuple(
            float(mean) if weight >= _LEAST_WEIGHT else None
            for mean, weight in zip(row, row_weights, strict=True)
        )
        for row, row_weights in zip(means, weights, strict=True)
    )
    return Surface(x, y, cells)


def _nearness(dimension: Dimension, places: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
    """Return how near each place is to each cell, `(cells, places)`, 0 to 1."""
    import numpy as np

    if dimension.scale is None:
        count = len(dimension.listed)
        cells = (np.arange(count) + 0.5) / count
        return np.asarray(np.abs(cells[:, None] - places[None, :]) < 0.5 / count, dtype=float)
    width = min(0.16, max(0.05, 0.32 * max(1, len(places)) ** (-1 / 6)))
    cells = (np.arange(CELLS) + 0.5) / CELLS
    return np.asarray(np.exp(-0.5 * ((cells[:, None] - places[None, :]) / width) ** 2))

"""A few rows of a source, as tensors, for what only values beside each other show.

They are evenly spaced in each run, so they are the same ones however the work is spread.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from distrain.data.encoders import CategoricalFeature, Feature, NumericFeature
from distrain.data.features import Transform
from distrain.data.shards import Array
from distrain.data.split import TRAIN, Assignment

SAMPLE_ROWS: Final = 8_192
"""Rows of a source that are looked at, about; of one with more runs than this, one row of each."""

_MAX_CELLS: Final = 2**24
"""Numbers of all sampled rows together, so that wide rows take no more memory: 64 MiB."""

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class RowSample:
    """Some rows.

    Args:
        x: the features, float32, `(n, features)`.
        y: the classes, int64, `(n,)`, or the standardised targets, float32, `(n, targets)`.
        split: the split of each row, `(n,)`.
    """

    x: Array
    y: Array
    split: Array

    @property
    def is_training(self) -> npt.NDArray[np.bool_]:
        """Return which of the rows are for training."""
        found: npt.NDArray[np.bool_] = self.split == TRAIN
        return found


def rows_of_a_run(num_features: int, num_runs: int) -> int:
    """Return how many rows of each run are sampled, one at least.

    Args:
        num_features: numbers of a row.
        num_runs: runs of the source.
    """
    num_rows = min(SAMPLE_ROWS, _MAX_CELLS // max(num_features, 1))
    return max(1, num_rows // num_runs)


def sample_of(arrays: Mapping[str, Array], split: Assignment, num_rows: int) -> RowSample | None:
    """Return evenly spaced rows of a run; None where there are none, or rows are images.

    Args:
        arrays: the run's used rows, as `RunTensors.of_used` gives them.
        split: the split of each of them, `(n,)`.
        num_rows: how many, at most.
    """
    count = min(num_rows, len(split))
    if not count or arrays["x"].ndim != 2:
        return None
    places = ((np.arange(count) + 0.5) * (len(split) / count)).astype(np.int64)
    return RowSample(arrays["x"][places], arrays["y"][places], split[places])


def joined_samples(samples: Sequence[RowSample]) -> RowSample | None:
    """Return the rows of all samples, in their order; None: there are none."""
    if not samples:
        return None
    return RowSample(
        np.concatenate([sample.x for sample in samples]),
        np.concatenate([sample.y for sample in samples]),
        np.concatenate([sample.split for sample in samples]),
    )


def column_values(transform: Transform, x: Array) -> Iterator[tuple[Feature, Floats]]:
    """Yield each raw column with a number for its value in each row, NaN where it is missing.

    A category's number is its place among the known ones, of which the first is the most frequent.

    Args:
        transform: what made the features.
        x: the features, `(n, features)`.
    """
    stop = 0
    for feature in transform.features:
        start, stop = stop, stop + len(feature.feature_names)
        if isinstance(feature, NumericFeature):
            values = x[:, start].astype(np.float64)
            is_missing = x[:, start + 1] > 0 if feature.indicator else np.zeros(len(x), np.bool_)
        elif isinstance(feature, CategoricalFeature):
            values = x[:, start:stop].argmax(axis=1).astype(np.float64)
            is_missing = values > len(feature.values)  # the place behind 'other'
        else:  # of a text each word is a feature of its own, of a time its place in each cycle
            continue
        yield feature, np.where(is_missing, np.nan, values)

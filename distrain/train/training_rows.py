"""The training split of a run: taken from shards, or streamed from the source's files."""

from typing import Final, final

import numpy as np

from distrain.data.blocks import Blocks
from distrain.data.own.split import OwnSplit, counted, first_rows
from distrain.data.prepared import PreparedDataset, Split
from distrain.data.recipe import Streamed
from distrain.data.shards import PROBE_ROWS
from distrain.data.streamed import Feed, OwnFeed, streamed_split
from distrain.data.tensors import Rows, to_rows

COUNTING_ROWS: Final = 1 << 16


@final
class TrainingRows:
    """The rows that a run is trained on.

    Args:
        dataset: the prepared dataset.
        as_is: whether batches of a Dataset of the user's own are left as they come.
    """

    def __init__(self, dataset: PreparedDataset, *, as_is: bool = False) -> None:
        self._as_is = as_is
        self._own = dataset.own
        self._split = dataset.shard_split("train")
        self._streamed = Streamed(dataset) if dataset.is_streamed else None

    @property
    def num_rows(self) -> int:
        """Return the number of rows."""
        return self._split.num_rows if self._own is None else self._own.split("train").num_rows

    @property
    def blocks(self) -> Blocks | None:
        """Return the blocks that the plan permutes; None: its own."""
        return self._streamed.blocks if self._streamed else None

    def split(self, feed: Feed | None, seed: int) -> Split | OwnSplit:
        """Return the rows, to be taken in the plan's order where they are streamed.

        Args:
            feed: where streamed rows come from; None: they are made in this process.
            seed: the run's seed.
        """
        if self._own is not None:
            return self._own.split("train", seed, as_is=self._as_is)
        if self._streamed is None:
            return self._split
        return streamed_split(self._streamed, feed or OwnFeed(self._streamed, seed))

    def probe(self) -> Rows:
        """Return the first rows, two where there are as many.

        Raises:
            DataError: the dataset is damaged.
        """
        if self._own is not None:
            return first_rows(self._own.split("train", as_is=self._as_is), PROBE_ROWS)
        if self._streamed is not None:
            return to_rows(self._streamed.first_rows())
        return to_rows(self._split.slice(0, min(PROBE_ROWS, self.num_rows)))

    def class_counts(self, num_classes: int) -> list[int]:
        """Return the number of rows of each class; of a Dataset of the user's own, all are read."""
        if self._own is not None:
            return counted(self._own.split("train"), num_classes)
        if self._streamed is not None:
            return list(self._streamed.recipe.num_by_class)
        counts = np.zeros(num_classes, dtype=np.int64)
        for start in range(0, self.num_rows, COUNTING_ROWS):
            labels = self._split.slice(start, min(self.num_rows, start + COUNTING_ROWS))["y"]
            counts += np.bincount(labels, minlength=num_classes)
        return [int(count) for count in counts]

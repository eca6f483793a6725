"""The test rows on which two models can be compared: those that neither was trained on.

In: the data of the one that is measured now, and both models. Out: its raw test rows, less those
that either was trained on. They are found by content, so that neither another preparation nor
another file hides them; rows that a split keeps apart may have the same content, too, and are left
out likewise, unless hardly any would be left. Ray must be connected.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distrain.config.data import DataSettings
from distrain.data.plan import evaluation_batches
from distrain.data.prepared import PreparedDataset, Split
from distrain.data.tensor_keys import Keys
from distrain.evaluate.seen_rows import BATCH_ROWS, SeenRows, keys_of
from distrain.track.packaged import Predictor

LEAST_ROWS: Final = 20
"""Of fewer rows, even large differences are chance."""

Mask = npt.NDArray[np.bool_]


class NotComparableError(Exception):
    """Why two models cannot be compared, in words."""


@final
@dataclass(frozen=True)
class Contestant:
    """One of two models.

    Attributes:
        who: what it is called in words.
        predictor: what predicts.
        seen: the rows it was trained on; None: not known.
        dataset_digest: of what it was trained on; empty: not known.
    """

    who: str
    predictor: Predictor
    seen: SeenRows | None
    dataset_digest: str

    @classmethod
    def load(cls, who: str, packaged: Path, dataset_digest: str) -> Self:
        """Return the model in a packaged folder."""
        return cls(who, Predictor.load(packaged), SeenRows.load(packaged), dataset_digest)

    def keys(self, raw: pa.Table) -> Keys:
        """Return the keys of raw rows as this model is given them."""
        transform = self.predictor.transform
        return keys_of(transform.apply(raw)["x"], transform.encode_target(raw)["y"])


@final
@dataclass(frozen=True)
class FairRows:
    """Test rows that neither model was trained on.

    Attributes:
        raw: the rows.
        targets: as metrics take them.
        notes: what was left out, in words.
    """

    raw: pa.Table
    targets: npt.NDArray[Any]
    notes: tuple[str, ...]


def fair_rows(
    data: DataSettings, dataset: PreparedDataset, own: Contestant, other: Contestant
) -> FairRows:
    """Return the test rows of a dataset that neither of two models was trained on.

    Args:
        data: where the raw rows are, `${VAR}` filled in.
        dataset: what was prepared of them.
        own: the model that was trained on it.
        other: the other.

    Raises:
        NotComparableError: there are none, they are not the same any more, or what a model was
            trained on is not known.
        DataError: the source is not there any more, or a model cannot take its rows.
    """
    raw = _raw_rows(data, dataset, own)
    is_kept, notes = np.ones(raw.num_rows, dtype=np.bool_), []
    for model in (own, other):
        kept, note = _unseen(model, raw, dataset.digest)
        is_kept &= kept
        notes += [note] if note else []
    is_split = data.test_source is None and other.dataset_digest == dataset.digest
    if is_split and is_kept.sum() < LEAST_ROWS <= raw.num_rows:
        is_kept[:] = True
        notes = [
            "nearly all test rows look like rows that were trained on; they were split from them, "
            "so they stay"
        ]
    if not is_kept.any():
        raise NotComparableError("; ".join(["no test row is left", *notes]))
    left = raw.filter(pa.array(is_kept))
    encoded = own.predictor.transform.encode_target(left)
    return FairRows(left, encoded.get("target", encoded["y"]), tuple(notes))


def _raw_rows(data: DataSettings, dataset: PreparedDataset, own: Contestant) -> pa.Table:
    """Return the raw rows of a test split, the very ones that were prepared."""
    if dataset.own is not None:
        raise NotComparableError("its test rows are those of a Dataset, which are no raw rows")
    split = dataset.shard_split("test")
    if not split.num_rows:
        raise NotComparableError("there is no test split")
    from distrain.data.test_rows import read_test_rows  # brings Ray Data along

    raw = read_test_rows(data)
    if raw.num_rows != split.num_rows:
        raise NotComparableError(
            f"the source has {raw.num_rows:,} test rows now, where {split.num_rows:,} were prepared"
        )
    is_other = own.keys(raw) != _keys_of_split(split)
    if is_other.any():
        raise NotComparableError(
            f"{int(is_other.sum()):,} of the source's test rows are not what was prepared of them"
        )
    return raw


def _keys_of_split(split: Split) -> Keys:
    batches = (split.slice(*bounds) for bounds in evaluation_batches(split.num_rows, BATCH_ROWS))
    return np.concatenate([keys_of(batch["x"], batch["y"]) for batch in batches])


def _unseen(model: Contestant, raw: pa.Table, dataset_digest: str) -> tuple[Mask, str]:
    """Return which rows a model was not trained on, and what there is to say of it.

    Raises:
        NotComparableError: that is not known.
    """
    everything = np.ones(raw.num_rows, dtype=np.bool_)
    if model.seen is None:
        if model.dataset_digest == dataset_digest:
            return everything, f"{model.who} was trained on other rows of the same split"
        why = f"nothing tells which rows {model.who} was trained on, so test rows may be among them"
        raise NotComparableError(why)
    is_seen, is_known = model.seen.find(model.keys(raw))
    if not is_seen.any():
        one_in = model.seen.one_in
        looked_at = f"one in {one_in} of {model.who}'s training rows was looked at"
        return everything, looked_at * (one_in > 1)
    # Where only some rows can be told, those alone are compared on.
    left = is_known & ~is_seen
    return left, (
        f"{int(is_seen.sum()):,} of {int(is_known.sum()):,} test rows were among those that "
        f"{model.who} was trained on, and are left out"
    )

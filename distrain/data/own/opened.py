"""A prepared dataset whose rows stay in a Dataset of the user's own: its splits, as they are read.

What enters is the entry `dataset` of a manifest, which `making.py` writes.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

from distrain.data.features import Transform
from distrain.data.own.batches import BatchForm
from distrain.data.own.opening import open_dataset
from distrain.data.own.reading import KeyedReader
from distrain.data.own.split import OwnSplit, Portion
from distrain.errors import DataError
from distrain.models.target import load_target

# Rows that are evaluated draw the same whatever the run's seed, so that runs can be compared.
_EVALUATION_SEED = 0


@final
class OwnRows:
    """The rows of a Dataset of the user's own.

    Args:
        entry: `sections`, `keys` and `portions` by split, `collate`, `target_key`, `row_bytes`, and
            `fault`: why batches are no inputs and targets, or None.
        transform: task and classes.
        num_processes: processes that read ahead.
    """

    def __init__(
        self, entry: Mapping[str, Any], transform: Transform, num_processes: int = 0
    ) -> None:
        self._entry = entry
        self._transform = transform
        self._num_processes = num_processes

    def split(self, name: str, seed: int = _EVALUATION_SEED, *, as_is: bool = False) -> OwnSplit:
        """Return the split `train`, `validation` or `test`; it may be empty.

        Args:
            name: of the split.
            seed: what random numbers are keyed by.
            as_is: whether batches are left as they come.
        """
        return OwnSplit(
            Portion(**self._entry["portions"][name]),
            partial(self._reader, name, seed),
            None if as_is or self._entry["fault"] is not None else self._form(name),
            row_bytes=int(self._entry["row_bytes"]),
            num_processes=self._num_processes,
        )

    @property
    def has_pairs(self) -> bool:
        """Return whether batches are inputs and targets."""
        return self._entry["fault"] is None

    def check_pairs(self) -> None:
        """Return where batches are inputs and targets.

        Raises:
            DataError: they are not.
        """
        if not self.has_pairs:
            fault = {key: text for key, text in self._entry["fault"].items() if key != "kind"}
            raise DataError(fault.pop("message"), **fault)

    def _reader(self, name: str, seed: int) -> KeyedReader:
        section, key = self._entry["sections"][name], self._entry["keys"][name]
        return KeyedReader(
            open_dataset(section, key), collate_of(self._entry["collate"]), seed, _named(section)
        )

    def _form(self, name: str) -> BatchForm:
        transform, section = self._transform, self._entry["sections"][name]
        num_classes = len(transform.classes)
        return BatchForm(_named(section), transform.task, num_classes, self._entry["target_key"])


def collate_of(target: str | None) -> Any:
    """Return the user's function that makes a batch; None: torch's own does.

    Raises:
        ModelError: it cannot be imported.
    """
    return None if target is None else load_target(target, where="data.collate")


def _named(section: Mapping[str, Any]) -> str:
    return str(section["target"])

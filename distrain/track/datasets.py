"""Prepared data as MLflow's dataset inputs, with classes of its own; importing it imports mlflow.

MLflow's stock classes hash the first 10,000 rows alone, or nothing but the name (MLflow 3.17.2).
The digest here is that of the content of all files and the recipe. MLflow finds `PreparedSource` by
the entry point `mlflow.dataset_source`, so that `mlflow.data.get_source` works on a run's dataset
inputs wherever distrain is installed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, final

from mlflow.data.dataset import Dataset
from mlflow.data.dataset_source import DatasetSource
from mlflow.entities import DatasetInput, InputTag

from distrain.track.describe import MAX_SHOWN_FILES

SOURCE_TYPE: Final = "distrain"
MAX_DIGEST_LENGTH: Final = 32  # of the 36 that MLflow takes
MAX_PROFILE_BYTES: Final = 1 << 15
"""MLflow takes 16 MB, and its table of runs fetches it twice for each of 100 trials."""

_CONTEXTS: Final = {"train": "training", "validation": "validation", "test": "test"}


@final
class PreparedSource(DatasetSource):
    """The files that a dataset was prepared from.

    Args:
        prepared_sha256: digest of the prepared dataset, 64 hex digits.
        files: the first of them, each with `uri` and, where known, `num_bytes`, `num_rows` and
            `sha256`.
        num_files: how many there are.
    """

    def __init__(
        self, prepared_sha256: str, files: Sequence[Mapping[str, Any]], num_files: int
    ) -> None:
        self.prepared_sha256 = prepared_sha256
        self.files = [dict(file) for file in files]
        self.num_files = num_files

    @property
    def uri(self) -> str:
        """Return the URIs of the first files."""
        return ", ".join(str(file["uri"]) for file in self.files)

    @staticmethod
    def _get_source_type() -> str:
        return SOURCE_TYPE

    def load(self) -> list[str]:
        """Return the paths or URIs of the files; nothing is copied.

        Raises:
            LookupError: only the first of them are known.
        """
        if self.num_files > len(self.files):
            raise LookupError(
                f"{len(self.files)} of {self.num_files:,} files are named here; all of them are in "
                "the run's artifact lineage/data.json"
            )
        return [str(file["uri"]) for file in self.files]

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        del raw_source
        return False  # a digest cannot be told from a path

    @classmethod
    def _resolve(cls, raw_source: Any) -> Self:
        # MLflow asks only what `_can_resolve` has answered for, which is nothing.
        raise ValueError(f"{raw_source!r} does not tell what was prepared from it")

    def to_dict(self) -> dict[str, Any]:
        """Return the source as plain JSON."""
        return {
            "uri": self.uri,
            "prepared_sha256": self.prepared_sha256,
            "files": self.files,
            "num_files": self.num_files,
        }

    @classmethod
    def from_dict(cls, source_dict: Mapping[str, Any]) -> Self:
        """Return the source that `to_dict` gave."""
        return cls(source_dict["prepared_sha256"], source_dict["files"], source_dict["num_files"])


@final
class PreparedSplit(Dataset):
    """One split of a prepared dataset.

    Args:
        name: of the dataset and the split: MLflow keeps one input for a name and digest.
        source: the files that it was prepared from.
        columns: raw column to MLflow type.
        profile: rows, sizes of all splits, tensors, statistics of columns, findings.
    """

    def __init__(
        self,
        name: str,
        source: PreparedSource,
        columns: Mapping[str, str],
        profile: Mapping[str, Any],
    ) -> None:
        self._columns = dict(columns)
        self._profile = dict(profile)
        super().__init__(source, name, source.prepared_sha256[:MAX_DIGEST_LENGTH])

    def _compute_digest(self) -> str:
        raise AssertionError("its digest is that of the prepared dataset")

    @property
    def schema(self) -> dict[str, Any]:
        """Return the raw columns, in the form that MLflow's page shows."""
        columns = [
            {"type": kind, "name": name, "required": False} for name, kind in self._columns.items()
        ]
        return {"mlflow_colspec": columns}

    @property
    def profile(self) -> dict[str, Any]:
        """Return rows, sizes of all splits, tensors, statistics of columns and findings.

        Statistics are left out where they would slow MLflow's pages: the run's report has them.
        """
        if len(json.dumps(self._profile)) > MAX_PROFILE_BYTES:
            return {name: value for name, value in self._profile.items() if name != "columns"}
        return self._profile

    def to_dict(self) -> dict[str, str]:
        """Return what MLflow keeps."""
        fields: dict[str, str] = super().to_dict()
        return fields | {"schema": json.dumps(self.schema), "profile": json.dumps(self.profile)}


def dataset_inputs(facts: Mapping[str, Any]) -> list[DatasetInput]:
    """Return a dataset input for each split.

    Args:
        facts: as `describe.dataset_facts` gives them; a journal of an earlier version may lack
            `files`, `profile` and `findings`.
    """
    # A journal of an earlier version names the files alone.
    files = facts.get("files") or [{"uri": uri} for uri in facts["sources"]]
    source = PreparedSource(facts["digest"], files[:MAX_SHOWN_FILES], len(facts["sources"]))
    return [
        DatasetInput(
            PreparedSplit(
                f"{facts['name']}/{split}",
                source,
                facts["schema"],
                {
                    "num_rows": num_rows,
                    "splits": facts["splits"],
                    "tensors": facts["tensors"],
                    "prepared_sha256": facts["digest"],
                    "findings": facts.get("findings", []),
                    "columns": facts.get("profile", {}),
                },
            )._to_mlflow_entity(),
            [InputTag("mlflow.data.context", _CONTEXTS.get(split, split))],
        )
        for split, num_rows in facts["splits"].items()
    ]

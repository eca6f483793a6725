"""Prepared data as MLflow sees it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import mlflow.data
import pytest
from mlflow.data.dataset_source_registry import register_dataset_source

from distrain.track.datasets import MAX_PROFILE_BYTES, PreparedSource, dataset_inputs

REPOSITORY = Path(__file__).parent.parent.parent.parent


def facts(**fields: Any) -> dict[str, Any]:
    return {
        "name": "people",
        "digest": "ab" * 32,
        "sources": ["/data/people.csv"],
        "files": [{"uri": "/data/people.csv", "num_bytes": 9, "num_rows": 90, "sha256": "f" * 64}],
        "schema": {"age": "long"},
        "splits": {"train": 80, "test": 10},
        "tensors": {"x": {"dtype": "float32", "shape": [7]}},
        "profile": {"age": {"kind": "numeric", "low": 1}},
        "findings": [{"kind": "duplicates", "column": None, "message": "2 rows", "count": 2}],
        **fields,
    }


def test_each_split_is_an_input_with_rows_profile_and_findings() -> None:
    train, test = dataset_inputs(facts())

    profile = json.loads(train.dataset.profile)
    assert [train.dataset.name, test.dataset.name] == ["people/train", "people/test"]
    assert train.dataset.digest == "ab" * 16
    assert (train.tags[0].value, test.tags[0].value) == ("training", "test")
    assert (profile["num_rows"], profile["splits"]) == (80, {"train": 80, "test": 10})
    assert profile["columns"] == {"age": {"kind": "numeric", "low": 1}}
    assert profile["findings"][0]["message"] == "2 rows"
    assert "age" in train.dataset.schema


def test_mlflow_gives_the_source_back() -> None:
    register_dataset_source(PreparedSource)  # as the entry point does where it is installed

    source = mlflow.data.get_source(dataset_inputs(facts())[0])

    assert isinstance(source, PreparedSource)
    assert source.prepared_sha256 == "ab" * 32
    assert source.files[0]["sha256"] == "f" * 64
    assert source.load() == ["/data/people.csv"]


def test_the_entry_point_names_the_source() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    named = project["entry-points"]["mlflow.dataset_source"]["distrain"]

    assert named == f"{PreparedSource.__module__}:{PreparedSource.__name__}"


def test_of_very_many_files_the_first_are_named_and_the_rest_asked_for_elsewhere() -> None:
    uris = [f"/data/{number}.csv" for number in range(50)]

    source = mlflow.data.get_source(
        dataset_inputs(facts(sources=uris, files=[{"uri": uri} for uri in uris[:20]]))[0]
    )

    assert len(source.files) == 20
    with pytest.raises(LookupError, match=r"20 of 50 files .* lineage/data\.json"):
        source.load()


def test_what_an_earlier_version_recorded_is_sent_too() -> None:
    earlier = {k: v for k, v in facts().items() if k not in ("files", "profile", "findings")}

    [train, _] = dataset_inputs(earlier)

    assert json.loads(train.dataset.source)["files"] == [{"uri": "/data/people.csv"}]


def test_a_profile_that_is_too_long_goes_without_its_columns() -> None:
    long = {f"column {number}": "x" * 100 for number in range(MAX_PROFILE_BYTES // 100)}

    [train, _] = dataset_inputs(facts(profile=long))

    assert len(train.dataset.profile) < MAX_PROFILE_BYTES
    assert json.loads(train.dataset.profile)["num_rows"] == 80

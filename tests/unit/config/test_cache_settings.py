"""Where prepared data is kept: a folder, or remote storage with each node's own copies."""

from pathlib import Path

import pytest

from distrain.config.load import load_settings
from distrain.errors import ConfigError
from distrain.locations import cache_of, data_of

REMOTE = "data.cache.path=s3://bucket/prepared"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("data: {source: a.csv, target: y}\n")
    return "run.yaml"


def test_prepared_data_lies_below_storage_unless_a_place_is_named(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET", "s3://bucket")
    places = {
        "storage=here": tmp_path / "here" / "prepared",
        "data.cache.path=kept": tmp_path / "kept",
        "data.cache.path=file:///data/kept": Path("/data/kept"),
        REMOTE: "s3://bucket/prepared",
        "data.cache.path=${BUCKET}/kept": "s3://bucket/kept",
    }
    found = {word: cache_of(load_settings([config], [word])) for word in places}
    assert found == places


def test_the_nodes_own_folder_is_filled_in_like_a_source(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch")
    words = [REMOTE, "data.cache.local_path=${SCRATCH}/shards", "data.cache.max_bytes=1000"]
    cache = data_of(load_settings([config], words)).cache
    assert (cache.local_path, cache.max_bytes) == ("/scratch/shards", 1000)


@pytest.mark.parametrize("word", ["local_path=shards", "max_bytes=1000"])
def test_what_is_for_remote_storage_has_no_effect_on_a_folder(config: str, word: str) -> None:
    key = word.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"data\.cache\.{key} has no effect .* is a folder"):
        load_settings([config], [f"data.cache.{word}"])


def test_the_nodes_own_folder_is_no_uri(config: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.cache\.local_path = 's3://x' is a URI"):
        load_settings([config], [REMOTE, "data.cache.local_path=s3://x"])

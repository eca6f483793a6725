"""The runs that there are at a store, and how one of them is named."""

from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.object_store.bucket import Bucket
from distrain.object_store.place import Place
from distrain.object_store.runs import named_run, run_places, winners_of
from distrain.run_folder import JOURNAL
from distrain.track.watermark import WATERMARK, Watermark
from tests.s3_server import S3Server


@pytest.fixture
def storage(run: Place) -> Place:
    """Storage with three runs, and a place at which none was begun."""
    storage = run.parent.parent
    for name in ("a/20260101T000000-aaaaaa", "a/20260102T000000-bbbbbb", "b/20260101T000000-cc"):
        Bucket(storage.below(name)).put("files/000001-000/config.yaml", b"{}")
    Bucket(storage.below("prepared/0123")).put("manifest.json", b"{}")
    return storage


def test_a_run_is_found_by_whatever_names_it(storage: Place) -> None:
    run = storage.below("a/20260102T000000-bbbbbb")

    for name in (run.name, f"a/{run.name}", run.uri):
        assert named_run(name, storage.uri) == run
    assert named_run(run.uri, "runs") == run
    assert named_run(run.name, "runs") is None
    assert len(run_places(storage)) == 3


def test_one_that_is_named_in_full_is_looked_for_alone(storage: Place, server: S3Server) -> None:
    start = len(server.requests)

    named_run("a/20260102T000000-bbbbbb", storage.uri)

    assert len([method for method, _ in server.requests[start:] if method == "GET"]) == 1


def test_a_run_is_found_by_the_id_that_mlflow_has_of_it(storage: Place, tmp_path: Path) -> None:
    run = storage.below("a/20260102T000000-bbbbbb")
    Watermark(run_id="0123456789abcdef" * 2).save(tmp_path)
    shipped = f"files/000001-000/{JOURNAL}/{WATERMARK}"
    Bucket(run).put(shipped, (tmp_path / WATERMARK).read_bytes())
    Bucket(storage.below("b/20260101T000000-cc")).put(shipped, b"torn")

    assert named_run("0123456789abcdef" * 2, storage.uri) == run
    with pytest.raises(ConfigError, match="there is no run 'fedcba"):
        named_run("fedcba9876543210" * 2, storage.uri)


@pytest.mark.parametrize("name", ["20260102T000000-bbbbbc", "a/20260102T000000-bbbbbc"])
def test_the_nearest_is_told_where_there_is_none(storage: Place, name: str) -> None:
    with pytest.raises(ConfigError, match="Did you mean '20260102T000000-bbbbbb'"):
        named_run(name, storage.uri)


def test_a_winner_is_a_run_that_has_begun(storage: Place) -> None:
    search = storage.below("a/20260101T000000-aaaaaa")
    for name, file in (("0003", "files/000001-000/config.yaml"), ("0007", "lease/000001")):
        Bucket(search.parent.below(f"{search.name}-{name}")).put(file, b"{}")

    assert [place.name for place in winners_of(search)] == [f"{search.name}-0003"]

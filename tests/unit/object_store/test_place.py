from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.object_store.place import Place, remote_text

MINIO = "s3://b/runs?endpoint_override=host:9000&scheme=http&region=eu"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://b/runs/", Place("b", "runs")),
        ("s3://b", Place("b", "")),
        (MINIO, Place("b", "runs", "endpoint_override=host:9000&scheme=http&region=eu")),
    ],
)
def test_a_uri_names_a_bucket_and_a_prefix(uri: str, place: Place) -> None:
    assert Place.parse(uri) == place


def test_what_lies_below_is_at_the_same_store() -> None:
    run = Place.parse(MINIO).below("name").below("run")

    assert run.uri == MINIO.replace("runs?", "runs/name/run?")
    assert (run.endpoint, run.region, run.name) == ("http://host:9000", "eu", "run")
    assert run.parent.parent == Place.parse(MINIO)
    assert run.key("a/b") == "runs/name/run/a/b"


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("gs://b/runs", "knows no way to take a name only once"),
        ("s3://key:secret@b/runs", "a key beside it"),
        ("s3:///runs", "names no bucket"),
        ("s3://b/runs?acces_key=k", "it has the options acces_key"),
    ],
)
def test_another_kind_of_place_is_refused(uri: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Place.parse(uri)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (Path("s3://b/runs?region=eu"), "s3://b/runs?region=eu"),
        ("s3://b/runs", "s3://b/runs"),
        (Path("/mnt/runs"), None),
        (Path("runs"), None),
        (Path("file:///mnt/runs"), None),
        ("20261121T072929-bcf101", None),
    ],
)
def test_a_path_made_of_a_uri_is_known_as_that(path: Path | str, uri: str | None) -> None:
    assert remote_text(path) == uri

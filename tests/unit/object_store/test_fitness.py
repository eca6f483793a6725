from dataclasses import replace

import pytest

from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError, StorageError
from distrain.object_store.fitness import check_store
from distrain.object_store.place import Place
from distrain.readiness import check, check_storage
from distrain.track.tracking_server import server_beside_store
from tests.s3_server import S3Server

SOURCE = {"source": "sklearn:iris", "target": "target"}


def test_a_store_that_takes_a_name_once_is_fit(run: Place) -> None:
    check_store(run)
    check_store(run)


def test_one_that_takes_it_twice_is_refused(
    run: Place, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "takes_twice", True)

    with pytest.raises(ConfigError, match="writes an object over another"):
        check_store(run)


def test_a_bucket_that_is_not_there_is_told_before_anything_else(run: Place) -> None:
    storage = replace(run, bucket="nobody-s", prefix="runs").uri
    settings = settings_from_dict({"storage": storage, "data": SOURCE})

    with pytest.raises(ConfigError, match="there is no bucket 'nobody-s'"):
        check_storage(settings)


def test_a_store_that_does_not_answer_is_told(run: Place) -> None:
    closed = replace(run, query="endpoint_override=127.0.0.1:9&scheme=http&region=eu")

    with pytest.raises(StorageError, match="the store cannot be reached") as told:
        check_store(closed)

    assert told.value.exit_code == 4


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("AWS_PROFILE", "nobody-s", r"profile \(nobody-s\) could not be found"),
        ("AWS_ENDPOINT_URL", "minio", "Invalid endpoint: minio"),
    ],
)
def test_an_environment_that_names_what_there_is_not_is_told(
    run: Place, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv(name, text)

    with pytest.raises(ConfigError, match=said) as told:
        check_store(replace(run, query=""))

    assert "AWS_PROFILE" in told.value.mend


def test_an_environment_without_an_account_is_told(
    run: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(ConfigError, match="Set AWS_ACCESS_KEY_ID"):
        check_store(run)


def test_a_tracking_server_has_to_be_named(run: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = settings_from_dict({"storage": run.uri, "data": SOURCE})

    with pytest.raises(ConfigError, match="no tracking server is named"):
        check(settings, is_offline=False)


def test_a_database_without_a_server_has_no_place_for_artifacts() -> None:
    with pytest.raises(ConfigError, match="artifacts would lie in a folder of this host"):
        server_beside_store("postgresql://db/mlflow", "s3://b", is_offline=False)

"""An object store on this machine, for the tests that ask for one."""

from collections.abc import Iterator

import pytest

from distrain.object_store import bucket
from tests.s3_server import S3Server


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    server = S3Server()
    server.start()
    yield server
    server.close()


@pytest.fixture
def account(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process into the store, which is asked once and not again."""
    for name, text in server.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(bucket, "_TRIES", 1)

"""An object store on this machine, for the tests that ask for one."""

from collections.abc import Iterator
from pathlib import Path

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
def user_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `own_datasets` be imported, as code beside a configuration is."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "user_code"))


@pytest.fixture
def account(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process into the store, which is asked once and not again."""
    for name, text in server.environment.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(bucket, "_TRIES", 1)

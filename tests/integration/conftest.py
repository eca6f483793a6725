"""What several integration tests share: a storage whose tracking database is there already."""

import shutil
from pathlib import Path

import pytest

from distrain.track.tracking_server import connect, storage_server


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage folder with a database, to be copied: making one takes seconds."""
    storage = tmp_path_factory.mktemp("fresh")
    connect(storage_server(storage))
    return storage


@pytest.fixture
def storage(tmp_path: Path, fresh: Path) -> Path:
    shutil.copytree(fresh, tmp_path / "runs")
    return tmp_path / "runs"

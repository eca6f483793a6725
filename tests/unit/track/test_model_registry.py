from pathlib import Path

import pytest

from distrain.track.model_registry import registry_of
from distrain.track.watermark import Watermark


def record(storage: Path, run: str, server: str, model: str) -> None:
    """Leave a run that registered a version of a model at a server."""
    folder = storage / "houses" / run / "journal"
    folder.mkdir(parents=True)
    (folder.parent / "config.yaml").write_text("name: houses\n")
    Watermark(server=server, versions={"k": (model, "1", None)}).save(folder)


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize("model", ["models:/houses/3", "models:/houses@champion", "models:/houses"])
def test_a_model_is_looked_for_where_its_newest_run_was_recorded(
    tmp_path: Path, model: str
) -> None:
    record(tmp_path, "20260101T000000-aaaaaa", "storage", "houses")
    record(tmp_path, "20260201T000000-bbbbbb", "http://tracking:5000", "houses")
    record(tmp_path, "20260301T000000-cccccc", "http://elsewhere:5000", "flats")
    assert registry_of(model, tmp_path).uri == "http://tracking:5000"


def test_a_server_that_is_set_for_the_command_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, "20260101T000000-aaaaaa", "http://tracking:5000", "houses")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://now:5000")
    assert registry_of("models:/houses/3", tmp_path).uri == "http://now:5000"


@pytest.mark.parametrize("model", ["models:/boats/3", "houses/20260101T000000-aaaaaa"])
def test_what_no_run_has_registered_is_looked_for_in_the_storage(
    tmp_path: Path, model: str
) -> None:
    record(tmp_path, "20260101T000000-aaaaaa", "http://tracking:5000", "houses")
    assert registry_of(model, tmp_path).uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert registry_of(model, tmp_path / "none").uri == f"sqlite:///{tmp_path}/none/mlflow.db"

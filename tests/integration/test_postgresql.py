"""Recording in PostgreSQL: through a server that asks for a password, and without a server."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from distrain.track.journal import JournalWriter
from distrain.track.shipper import Shipper
from distrain.track.tracking_server import TrackingServer, connect, resolve_tracking_uri
from distrain.track.watermark import WATERMARK
from tests.lossy_proxy import LossyProxy
from tests.mlflow_server import MlflowServer
from tests.postgresql import PASSWORD, find_programs, postgresql

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROGRAMS = find_programs()
NUM_STEPS = 300
MLMODEL = "artifact_path: model\nflavors:\n  python_function: {loader_module: none}\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAMS is None or not find_spec("psycopg") or not find_spec("flask_wtf"),
        reason="needs PostgreSQL's programs (Debian: postgresql), psycopg[binary] and mlflow[auth]",
    ),
    # MLflow 3.17 uses what SQLAlchemy 2.1 and pandas 3 call deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),
    pytest.mark.filterwarnings("ignore:::mlflow"),
]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    assert PROGRAMS is not None
    with postgresql(PROGRAMS) as server:
        yield server.uri


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distrain.track.shipper.LONGEST_PAUSE_S", 0.5)


def record(run_dir: Path) -> None:
    run = run_dir.name
    model = run_dir / "model"
    model.mkdir(parents=True)
    (model / "MLmodel").write_text(MLMODEL)
    with JournalWriter(run_dir / "journal", "driver") as journal:
        # An experiment of its own: where a server keeps artifacts, it alone can put them.
        journal.run({"experiment": run, "key": f"drill/{run}", "name": run, "tags": {}})
        journal.params({"lr": "0.1"})
        for step in range(1, NUM_STEPS + 1):
            journal.metrics(step, {"loss": 1 / step, "rate": float("nan")})
        journal.model(model, {"name": run, "key": f"drill/{run}"}, "newest")
        journal.status("FINISHED")


def ship(run_dir: Path, server: TrackingServer) -> Shipper:
    shipper = Shipper(run_dir / "journal", server)
    shipper.start()
    is_shipped = shipper.drain(60)
    shipper.close()
    assert is_shipped or shipper.is_refused
    return shipper


def check_recorded_once(client: "MlflowClient", run: str) -> None:
    experiment = client.get_experiment_by_name(run)
    found = client.search_runs([experiment.experiment_id], f"tags.`distrain.key` = 'drill/{run}'")
    (info,) = [one.info for one in found]
    assert info.status == "FINISHED"
    history = client.get_metric_history(info.run_id, "loss")
    assert [(row.step, row.value) for row in history] == [
        (step, 1 / step) for step in range(1, NUM_STEPS + 1)
    ]
    assert len(client.get_metric_history(info.run_id, "rate")) == NUM_STEPS
    (version,) = client.search_model_versions(f"run_id = '{info.run_id}'")
    newest = client.get_model_version_by_alias(run, "newest")
    assert newest.version == version.version


def test_a_server_that_asks_for_a_password_stores_each_record_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MlflowServer(tmp_path, database=database, password="of-the-admin")
    record(tmp_path / "guarded")
    try:
        server.start()
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a wrong one")
        refused = ship(tmp_path / "guarded", server.tracking)
        assert refused.is_refused
        assert refused.run_id is None

        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-the-admin")
        with LossyProxy(server.tracking.uri, 0.3, seed=3) as proxy:
            ship(tmp_path / "guarded", TrackingServer(proxy.uri, None, "track.uri"))
            assert proxy.num_lost > 0
        check_recorded_once(connect(server.tracking), "guarded")
    finally:
        server.stop()


def test_a_database_without_a_server_stores_each_record_once(database: str, tmp_path: Path) -> None:
    server = resolve_tracking_uri(database, tmp_path)
    record(tmp_path / "direct")

    ship(tmp_path / "direct", server)
    (tmp_path / "direct" / "journal" / WATERMARK).unlink()
    ship(tmp_path / "direct", server)

    check_recorded_once(connect(server), "direct")
    kept = [path.read_text() for path in (tmp_path / "direct" / "journal").iterdir()]
    assert not [text for text in kept if PASSWORD in text or quote(PASSWORD, safe="") in text]

"""What Prometheus gets from a node of Ray while a run trains there, and a search searches."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster_files import CLUSTER
from tests.private_ray import PrivateRay, private_ray
from tests.promql import asked_for
from tests.scraping import scrape

pytestmark = [pytest.mark.slow, pytest.mark.long]

DISTRAIN = Path(sys.executable).with_name("distrain")
OWN = "ray_distrain_"
# Ray sends every second then, in the place of ten, if all processes are told so.
OFTEN = {"RAY_metrics_report_interval_ms": "1000"}
LATE_S = 60.0
NET = """
import time, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)

    def forward(self, x):
        time.sleep(0.02)
        return self.layer(x.reshape(len(x), -1))
"""
TRIALS = {
    "num_trials": 6,
    "max_concurrent": 2,
    "space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}},
}


@pytest.fixture(scope="module")
def head() -> Iterator[PrivateRay]:
    with private_ray(3, {**OFTEN, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = {
        "name": "digits",
        "data": {"source": "sklearn:digits", "target": "target"},
        "model": {"target": "net:Net"},
        "train": {"epochs": 5, "num_workers": 2, "global_batch_size": 64},
    }
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "run.yaml").write_text(json.dumps(config), encoding="utf-8")
    search = {**config, "train": {**config["train"], "epochs": 1}, "tune": TRIALS}
    (tmp_path / "search.yaml").write_text(json.dumps(search), encoding="utf-8")
    return tmp_path


def begin(head: PrivateRay, folder: Path, *words: str) -> subprocess.Popen[str]:
    dropped = ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH", "MLFLOW_TRACKING_URI")
    own = {name: text for name, text in os.environ.items() if name not in dropped}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": head.token}
    return subprocess.Popen(
        [DISTRAIN, *words, "--address", head.address, "--json"],
        cwd=folder,
        env={**own, **OFTEN, **token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def watch(head: PrivateRay, driver: subprocess.Popen[str]) -> list[dict[str, dict[str, float]]]:
    """Return what was served while a command ran: of each look, the series of each gauge.

    A series is known by its run, its state and its process.
    """
    looks = []
    while driver.poll() is None:
        gauges = {
            name.removeprefix(OWN): {
                "/".join(
                    labels.get(key, "") for key in ("experiment", "run", "state", "WorkerId")
                ): value
                for labels, value in series
            }
            for name, series in scrape(head.metrics_url).items()
            if name.startswith(OWN)
        }
        looks.append(gauges)
        time.sleep(0.5)
    return looks


def wait_until_gone(head: PrivateRay) -> None:
    deadline = time.monotonic() + LATE_S
    while any(name.startswith(OWN) for name in scrape(head.metrics_url)):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_a_run_is_seen_while_it_trains_and_not_for_ever(head: PrivateRay, folder: Path) -> None:
    driver = begin(head, folder, "train", "run.yaml")
    looks = watch(head, driver)
    told, errors = driver.communicate()

    assert driver.returncode == 0, errors
    result = json.loads(told.strip().splitlines()[-1])
    names = ("rows_per_second", "data_wait_fraction", "reduce_fraction", "journal_backlog")
    seen = {name: [look[name] for look in looks if name in look] for name in names}
    for name, of_name in seen.items():
        assert {len(series) for series in of_name} == {1}, name
        (key,) = {key.rpartition("/")[0] for series in of_name for key in series}
        assert key == f"digits/{Path(result['run_dir']).name}/"
    values = {name: [v for one in of_name for v in one.values()] for name, of_name in seen.items()}
    assert max(values["rows_per_second"]) == pytest.approx(result["samples_per_second"], rel=0.5)
    assert all(0 <= value <= 1 for value in values["data_wait_fraction"])
    assert any(0 < value < 1 for value in values["reduce_fraction"])
    assert max(values["journal_backlog"]) > 0
    wait_until_gone(head)


def test_a_search_is_seen_by_its_trials_states_in_a_series_for_each_actor(
    head: PrivateRay, folder: Path
) -> None:
    driver = begin(head, folder, "tune", "search.yaml")
    looks = watch(head, driver)
    told, errors = driver.communicate()

    assert driver.returncode == 0, errors
    run = Path(json.loads(told.strip().splitlines()[-1])["run_dir"]).name
    states = [
        {key.split("/")[2]: value for key, value in look["trials"].items()}
        for look in looks
        if "trials" in look
    ]
    assert {sum(state.values()) for state in states} == {6}
    assert max(state["running"] for state in states) == 2
    assert max(state["finished"] for state in states) == 6
    speeds = {key for look in looks for key in look.get("rows_per_second", {})}
    assert 1 <= len(speeds) <= 2 < TRIALS["num_trials"]
    assert {key.split("/")[1] for key in speeds} == {run}
    wait_until_gone(head)


def test_what_the_dashboard_asks_of_ray_is_served_with_its_labels(head: PrivateRay) -> None:
    board = json.loads((CLUSTER / "grafana.json").read_text(encoding="utf-8"))
    exprs = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    asked = [one for expr in exprs for one in asked_for(expr)]
    of_ray = [(name, labels) for name, labels in asked if not name.startswith(OWN)]
    deadline = time.monotonic() + LATE_S
    while not {"ray_node_cpu_utilization", "ray_resources"} <= scrape(head.metrics_url).keys():
        assert time.monotonic() < deadline
        time.sleep(0.5)

    served = scrape(head.metrics_url)

    for name, labels in of_ray:
        if "gpu" not in name:  # there may be none
            assert all(labels <= of_series.keys() for of_series, _ in served[name])

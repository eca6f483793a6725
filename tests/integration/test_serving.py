"""From `init` to a registered model behind `mlflow models serve`, asked over HTTP."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import distrain
from distrain.first_configuration import write_first_configuration
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.usefixtures("ray_local"),
    pytest.mark.filterwarnings("ignore:::ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TOWNS = ("Graz", "Linz", "Wien")
ROWS = pd.DataFrame(
    {
        "customer": [f"c{row:03d}" for row in range(120)],
        "town": [TOWNS[row % 3] for row in range(120)],
        "age": [None if row % 17 == 0 else 20.0 + row % 50 for row in range(120)],
        "calls": [row * 7 % 30 for row in range(120)],
        "churned": ["yes" if row * 7 % 30 > 14 else "no" for row in range(120)],
    }
)


@contextmanager
def served(storage: Path, model: str) -> Iterator[str]:
    """Serve a model by MLflow's own command; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    # MLflow looks for uvicorn on the path, as an environment that is activated has it.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    uri = f"sqlite:///{storage}/mlflow.db"
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri}
    with (storage.parent / "served.txt").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, (storage.parent / "served.txt").read_text()
        try:
            with urllib.request.urlopen(f"{address}/ping") as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    try:
        wait_until(answers, timeout_s=120)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def ask(address: str, body: dict[str, Any]) -> pd.DataFrame:
    request = urllib.request.Request(
        f"{address}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return pd.DataFrame(json.loads(answer.read())["predictions"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, fresh: Path) -> Path:
    """A storage with the model of a run whose configuration `init` wrote."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(fresh, folder / "runs")
    ROWS.to_csv(folder / "churn.csv", index=False)
    write_first_configuration(str(folder / "churn.csv"), "churned", folder / "churn.yaml")
    small = [f"storage={folder}/runs", "model.hidden=[8]", "train.epochs=2", "train.num_workers=1"]
    result = distrain.train(folder / "churn.yaml", small)
    assert (result.status, result.error) == ("finished", None)
    assert result.model is not None
    return folder / "runs"


def test_the_rest_answer_is_what_predict_writes(trained: Path) -> None:
    source, out = trained.parent / "churn.csv", trained.parent / "scored.csv"
    distrain.predict("models:/churn/1", data=source, out=out, storage=trained)
    predicted = ["prediction", "probability_no", "probability_yes"]
    expected = pd.read_csv(out)[predicted]

    raw = ROWS.drop(columns="churned").astype(object)
    split = raw.where(raw.notna(), None).to_dict(orient="split", index=False)
    with served(trained, "models:/churn/1") as address:
        found = ask(address, {"dataframe_split": split})
        alone = ask(address, {"dataframe_records": [{"town": "Salzburg", "age": 33, "calls": 3}]})

    assert found["customer"].tolist() == ROWS["customer"].tolist()
    pd.testing.assert_frame_equal(found[predicted], expected)
    assert alone["prediction"].isin(["no", "yes"]).all()

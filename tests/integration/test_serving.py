"""A registered model behind `mlflow models serve`, asked over HTTP as any program would."""

import json
import os
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
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{storage}/mlflow.db"}
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


def test_the_rest_answer_is_what_predict_writes(storage: Path) -> None:
    source, out = storage.parent / "churn.csv", storage.parent / "scored.csv"
    ROWS.to_csv(source, index=False)
    settings = {
        "name": "churn",
        "storage": str(storage),
        "data": {"source": str(source), "target": "churned"},
        "model": {"name": "mlp", "hidden": [8]},
        "train": {"epochs": 2, "num_workers": 1},
    }
    assert distrain.train(settings).model is not None
    distrain.predict("models:/churn/1", data=source, out=out, storage=storage)
    predicted = ["prediction", "probability_no", "probability_yes"]
    expected = pd.read_csv(out)[predicted]

    raw = ROWS.drop(columns="churned").astype(object)
    split = raw.where(raw.notna(), None).to_dict(orient="split", index=False)
    with served(storage, "models:/churn/1") as address:
        found = ask(address, {"dataframe_split": split})
        alone = ask(address, {"dataframe_records": [{"town": "Salzburg", "age": 33, "calls": 3}]})

    assert found["customer"].tolist() == ROWS["customer"].tolist()
    pd.testing.assert_frame_equal(found[predicted], expected)
    assert alone["prediction"].isin(["no", "yes"]).all()

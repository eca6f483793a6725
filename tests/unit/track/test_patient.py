import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from distrain.track import patient as patient_module
from distrain.track.patient import NUM_TRIES, patient

LOST = MlflowException("API request failed: connection reset")
REFUSED = MlflowException("a bad name", INVALID_PARAMETER_VALUE)


class FakeClient:
    """Fails so many times with an error, then answers."""

    def __init__(self, error: Exception, num_failures: int) -> None:
        self._error = error
        self._left = num_failures
        self.num_calls = 0

    def _answer(self, *_: Any, **__: Any) -> str:
        self.num_calls += 1
        if self._left:
            self._left -= 1
            raise self._error
        return "answer"

    set_tag = log_artifact = create_run = log_outputs = _answer


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_module, "FIRST_PAUSE_S", 0)


def made(error: Exception, num_failures: int) -> tuple[FakeClient, Any]:
    client = FakeClient(error, num_failures)
    return client, patient(client)  # type: ignore[arg-type]


def test_a_request_whose_answer_was_lost_is_repeated() -> None:
    for error in (LOST, requests.exceptions.ConnectionError("reset")):
        client, asked = made(error, 3)
        assert asked.set_tag("run", "key", "value") == "answer"
        assert client.num_calls == 4


def test_it_is_not_repeated_for_ever() -> None:
    client, asked = made(LOST, 100)
    with pytest.raises(MlflowException, match="connection reset"):
        asked.log_artifact("run", __file__)
    assert client.num_calls == NUM_TRIES


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (LOST, lambda client: client.create_run("1")),
        (LOST, lambda client: client.log_outputs("run", [])),
        (REFUSED, lambda client: client.set_tag("run", "key", "value")),
        (FileNotFoundError("model"), lambda client: client.log_artifact("run", __file__)),
    ],
)
def test_what_would_be_there_twice_or_was_refused_is_asked_once(
    error: Exception, call: Callable[[Any], str]
) -> None:
    client, asked = made(error, 1)
    with pytest.raises(type(error)):
        call(asked)
    assert client.num_calls == 1


def test_after_a_request_that_took_long_the_server_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patient_module, "SLOW_S", -1)
    client, asked = made(LOST, 1)
    with pytest.raises(MlflowException):
        asked.set_tag("run", "key", "value")
    assert client.num_calls == 1


def test_a_large_file_is_given_the_time_that_it_takes(tmp_path: Path) -> None:
    timeouts: list[str] = []

    class Client:
        def log_artifact(self, *_: str) -> None:
            timeouts.append(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])

    with (tmp_path / "weights").open("wb") as file:
        file.truncate(300_000_000)
    patient(Client()).log_artifact("run", str(tmp_path / "weights"))  # type: ignore[arg-type]

    assert timeouts == ["320"]
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "20"

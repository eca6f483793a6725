"""What is refused before anything is started: clusters of others, and faults that are none."""

from pathlib import Path

import pytest

from distrain.errors import ConfigError
from distrain.jobs.chaos.job import Job, names_of


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    path = tmp_path / "run.yaml"
    path.write_text("data: {source: 'sklearn:digits', target: target}\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("address", ["auto", "10.0.0.5:6379"])
def test_an_address_in_the_configuration_is_refused(config: str, address: str) -> None:
    with pytest.raises(ConfigError, match=f"cluster.address = {address}: .* private Ray alone"):
        Job.load([config], [f"cluster.address={address}"])


def test_an_address_in_the_environment_is_refused(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")

    with pytest.raises(ConfigError, match=r"RAY_ADDRESS = 10.0.0.5:6379: .* Unset RAY_ADDRESS"):
        Job.load([config], [])


def test_local_keeps_the_environment_s_address_out(
    config: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")

    environment = Job.load([config], ["cluster.address=local"]).environment(tmp_path)

    assert not {"RAY_ADDRESS", "MLFLOW_TRACKING_URI"} & environment.keys()
    assert environment["TMPDIR"] == str(tmp_path)


def test_faults_are_named_in_the_table_s_order() -> None:
    assert names_of("driver, worker") == ["worker", "driver"]
    assert len(names_of(None)) == 7


def test_a_fault_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no fault 'workr'.* Did you mean 'worker'"):
        names_of("workr")

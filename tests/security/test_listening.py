"""What commands start by themselves listens on this machine's loopback addresses alone."""

import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from distrain.loopback import is_loopback
from distrain.track.ui import serve_ui
from tests.bad_cases import CONFIG, PEOPLE
from tests.leftovers import MARK, end_marked, marked
from tests.listening import listening

pytestmark = [pytest.mark.slow, pytest.mark.long]

SEARCH = """
tune:
  num_trials: 2
  space: {train.optimizer.lr: {loguniform: [1e-3, 1e-1]}}
train: {epochs: 1, num_workers: 1}
model: {name: mlp, hidden: [4]}
"""
COMMANDS = {
    "tune": (["tune", "run.yaml", "--offline"], [0]),
    # What is unfit of this machine is no matter here.
    "doctor": (["doctor", "run.yaml"], [0, 2]),
}


@pytest.mark.parametrize(("words", "codes"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_listens_on_loopback_alone(
    words: list[str], codes: list[int], tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "run.yaml").write_text(CONFIG + SEARCH)
    mark = uuid.uuid4().hex
    driver = subprocess.Popen(
        [sys.executable, "-c", "from distrain import cli; cli.main()", *words],
        cwd=tmp_path,
        env={**os.environ, MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    addresses: set[str] = set()
    try:
        while driver.poll() is None:
            addresses |= {address for address, _ in listening(set(marked(mark)))}
            time.sleep(0.2)
    finally:
        end_marked(mark)
        driver.wait()

    assert driver.returncode in codes
    assert addresses
    assert {address for address in addresses if not is_loopback(address)} == set()


def test_the_ui_listens_on_loopback_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    found: set[tuple[str, int]] = set()

    def look(_: str) -> None:
        found.update(listening(set(marked(mark))))
        raise KeyboardInterrupt

    serve_ui(f"sqlite:///{tmp_path}/mlflow.db", port=port, announce=look)

    assert ("127.0.0.1", port) in found
    assert {address for address, _ in found if not is_loopback(address)} == set()

"""What the processes of trials are started with, and what never comes so far."""

import os
from pathlib import Path
from typing import Any

import pytest

import distrain

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

MODEL = """
import os
from pathlib import Path

from torch import nn


class Net(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))
        began = Path("/proc/self/environ").read_bytes().decode().split("\\0")
        names = ("PLANTED", "PLANTED_TOKEN", "OMP_NUM_THREADS", "AWS_SECRET_ACCESS_KEY")
        now = [f"{name}={os.environ.get(name)}" for name in names]
        kept = [text for text in began if text.partition("=")[0] in names]
        folder = os.environ.get("SEEN")
        path = Path(folder or ".") / f"{width}.txt"
        if folder and not path.exists():  # the winner's workers come later
            path.write_text("\\n".join([*kept, "now", *now]))

    def forward(self, x):
        return self.layers(x)
"""


def test_trials_start_with_the_environment_that_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "environment_net.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN_OF_TEST", "s3cr3t-of-the-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-s3cr3t-of-the-test")
    seen = tmp_path / "seen"
    seen.mkdir()
    asked: dict[str, Any] = {
        "name": "digits",
        "storage": str(tmp_path / "runs"),
        "data": {"source": "sklearn:digits", "target": "target"},
        "model": {"target": "environment_net:Net", "args": {"width": 8}},
        "train": {"epochs": 1, "num_workers": 1},
        "tune": {"space": {"model.args.width": {"grid": [9]}}, "search_alg": "grid"},
        "cluster": {
            "env": {
                "PLANTED": "from the start",
                "PLANTED_TOKEN": "${TOKEN_OF_TEST}",
                "OMP_NUM_THREADS": "3",
                "SEEN": str(seen),
            }
        },
    }

    result = distrain.tune(asked)

    assert result.error is None
    began, now = (seen / "9.txt").read_text().split("now\n")
    assert "PLANTED=from the start" in began
    assert "OMP_NUM_THREADS=3" in began
    assert "s3cr3t" not in began
    assert "PLANTED_TOKEN=s3cr3t-of-the-test" in now
    assert "AWS_SECRET_ACCESS_KEY=aws-s3cr3t-of-the-test" in now
    assert os.environ.get("PLANTED") is None

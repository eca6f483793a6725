"""`distrain compare` as a whole, on runs and searches that were really made."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bad_cases import PEOPLE
from tests.command_line import run_in_process

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.usefixtures("ray_local")]

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 2))

    def forward(self, x):
        return self.layers(x)
"""
RUN = """
data: {source: people.csv, target: income}
model: {target: "net:Net"}
train: {epochs: 2, global_batch_size: 16, num_workers: 1, optimizer: {name: adamw, lr: 0.001}}
"""


def done(folder: Path, *words: str) -> dict[str, Any]:
    ended = run_in_process([*words, "--json"], folder)
    assert ended.code == 0, ended.stderr
    fields: dict[str, Any] = json.loads(ended.stdout)
    return fields


def test_three_planted_differences_of_two_runs_are_told_and_nothing_else(
    tmp_path: Path,
) -> None:
    files = {"people.csv": PEOPLE, "net.py": NET, "run.yaml": RUN}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    first = done(tmp_path, "train", "run.yaml")
    head, row, rest = PEOPLE.split("\n", 2)
    planted = {
        "people.csv": "\n".join([head, row.replace("30", "31", 1), rest]),
        "net.py": NET.replace("torch.nn.Linear(6, 5),", "torch.nn.Linear(6, 5), torch.nn.ReLU(),"),
        "run.yaml": RUN.replace("lr: 0.001", "lr: 0.01"),
    }
    for name, content in planted.items():
        assert content != files[name]
        (tmp_path / name).write_text(content)
    second = done(tmp_path, "train", "run.yaml")

    found = done(
        tmp_path, "compare", first["run_dir"], Path(second["run_dir"]).name, "--out", "c.html"
    )

    told = [(one["part"], Path(one["what"]).name) for one in found["differences"]]
    assert told == [
        ("configuration", "train.optimizer.lr"), ("code", "net.py"), ("data", "people.csv"),
    ]  # fmt: skip
    assert found["differences"][0]["values"] == ["0.001", "0.01"]
    [change] = found["code"]
    assert any(line.startswith("+") and "ReLU" in line for line in change["lines"])
    accuracy = next(one for one in found["outcome"] if one["what"] == "test/accuracy")
    assert accuracy["values"] == [run["metrics"]["test/accuracy"] for run in (first, second)]
    assert all(
        low <= value <= high
        for value, (low, high) in zip(accuracy["values"], accuracy["intervals"], strict=True)
    )
    assert accuracy["gains"][1]["num_rows"] > 0
    assert "train.optimizer.lr" in (tmp_path / "c.html").read_text()
    listed = done(tmp_path, "runs", "--sort=-train/loss", "--where", "outcome=finished")["runs"]
    assert len(listed) == 2

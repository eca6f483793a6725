"""Code of the user's own: run where an import path names it, and named before it is run."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from distrain import dry_run, readiness
from distrain.config.load import settings_from_dict
from distrain.estimates import Estimate, NamedCode
from distrain.predict import rows_to_predict
from distrain.report.estimate_table import estimate_table
from distrain.track.tracking_server import TrackingServer
from tests.bad_cases import PEOPLE
from tests.command_line import run_in_process
from tests.example_models import people, people_transform, save_example

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(6, 2)

    def forward(self, x):
        return self.layer(x)
"""
CONFIG = """
data: {source: people.csv, target: income}
model: {target: "own_net:Net"}
evaluate: {metrics: [accuracy, {target: "statistics:mean"}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "people.csv").write_text(PEOPLE)
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "own_net.py").write_text(NET)
    return tmp_path


def test_the_plan_names_the_code_that_is_run(folder: Path) -> None:
    words = ["train", "run.yaml", "--dry-run", "--offline"]

    told = run_in_process([*words, "--json"], folder)
    shown = run_in_process(words, folder)

    assert told.code == 0, told.stderr
    named = json.loads(told.stdout)["code"]
    own = str(folder / "own_net.py")
    assert named[0] == {"key": "model.target", "target": "own_net:Net", "file": own}
    assert [(one["key"], one["target"]) for one in named[1:]] == [
        ("evaluate.metrics", "statistics:mean")
    ]
    assert f"own_net:Net (model.target), from {own}" in shown.stdout
    assert "statistics:mean (evaluate.metrics), from " in shown.stdout
    assert shown.left == []


def test_a_plan_of_built_ins_names_none(folder: Path) -> None:
    words = ["train", "run.yaml", "model.name=mlp", "evaluate.metrics=[accuracy]"]

    told = run_in_process([*words, "--dry-run", "--offline", "--json"], folder)

    assert told.code == 0, told.stderr
    assert json.loads(told.stdout)["code"] == []


def test_a_search_names_the_code_among_its_choices(folder: Path) -> None:
    settings = settings_from_dict(
        {
            "data": {"source": str(folder / "people.csv"), "target": "income"},
            "tune": {"space": {"model": {"choice": ["mlp", "json:loads"]}}},
        }
    )
    (code,) = dry_run.code_of(settings, is_search=True)
    assert (code.key, code.target) == ("tune.space.model", "json:loads")
    assert str(code.file).endswith("json/__init__.py")


def test_code_without_a_file_is_told_as_pythons() -> None:
    table = estimate_table(
        Estimate(
            "d", {}, 1, 1, None, "p", None, None, "t", code=(NamedCode("k", "sys:exit", None),)
        )
    )
    assert "sys:exit (k), from Python itself" in str(table.__rich__())


@pytest.mark.parametrize(
    ("model", "is_found"), [({"name": "mlp"}, False), ({"target": "own_net:Net"}, True)]
)
def test_a_folder_is_imported_from_where_its_code_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, Any], is_found: bool
) -> None:
    settings = settings_from_dict(
        {"data": {"source": str(folder / "people.csv"), "target": "income"}, "model": model}
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    readiness.make_importable([str(folder)], settings)
    assert (str(folder) in sys.path) == is_found


def test_who_predicts_is_told_whose_code_is_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = folder / "runs" / "people" / "20261121T072929-bcf101"
    monkeypatch.syspath_prepend(str(folder))
    (folder / "seven_net.py").write_text(NET.replace("(6, 2)", "(7, 2)"))
    save_example(
        run_dir / "model" / "packaged",
        people_transform(),
        {"target": "seven_net:Net", "args": {}},
        user_code=[folder / "seven_net.py"],
    )
    (run_dir / "config.yaml").write_text(CONFIG)
    with (run_dir / "model" / "packaged" / "large").open("wb") as file:
        file.truncate(64 << 30)
    people(9).to_pandas().drop(columns="income").to_csv(folder / "new.csv", index=False)

    rows = rows_to_predict(
        str(run_dir),
        str(folder / "new.csv"),
        server=TrackingServer("sqlite://", None, "storage"),
        storage=folder / "runs",
    )

    assert sorted(rows.files) == ["model.json", "model.safetensors", "user_code/seven_net.py"]
    assert rows.notes == ["the model runs code of its own, which came with it: seven_net:Net"]

"""Models with planted faults, loaded in a process of their own."""

import textwrap
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from distrain.errors import ModelError
from distrain.track.clean_process import check_in_clean_process
from distrain.track.packaged import Predictor
from distrain.track.pyfunc_model import build_pyfunc
from distrain.track.user_code import find_user_code
from tests.example_models import people, people_transform, save_example

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::mlflow")]

NET = """
import importlib
import torch

class Net(torch.nn.Linear):
    def __init__(self):
        super().__init__(7, 2)

    def forward(self, x):
        {fault}
        return super().forward(x)
"""


def build(tmp_path: Path, patch: pytest.MonkeyPatch, name: str, fault: str) -> Path:
    """Package a user's model whose forward does something that it should not."""
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(NET).format(fault=fault))
    (tmp_path / "hidden_helper.py").write_text("")
    patch.syspath_prepend(str(tmp_path))
    target = f"{name}:Net"
    packaged = save_example(
        tmp_path / "packaged",
        people_transform(),
        {"target": target, "args": {}},
        user_code=find_user_code(target),
    )
    build_pyfunc(tmp_path / "mlflow", packaged, people(3))
    return packaged


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("pass", None),
        ("x = torch.nn.functional.dropout(x, 0.5, training=True)", "predicts something else"),
        (
            "assert len(x) == 3, 'three rows, no more and no less'",
            "does not predict rows given one alone.*three rows, no more and no less",
        ),
        (
            "importlib.import_module('hidden' + '_helper')",
            "does not load in a process of its own.*No module named 'hidden_helper'",
        ),
        ("x = x * len(x)", "predicts a single row otherwise than among others"),
    ],
    ids=["none", "left-in-training-mode", "fixed-batch", "missing-module", "depends-on-its-batch"],
)
def test_a_faulty_model_is_refused_with_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    fault: str,
    told: str | None,
) -> None:
    name = request.node.callspec.id.replace("-", "_") + "_net"
    if told is None:
        build(tmp_path, monkeypatch, name, fault)
        return
    with pytest.raises(ModelError, match=told):
        build(tmp_path, monkeypatch, name, fault)


def test_a_model_that_refuses_float64_is_told(tmp_path: Path) -> None:
    packaged = save_example(tmp_path / "packaged", people_transform())
    rows = people(3).drop_columns(["income"])
    rows = rows.set_column(1, "age", pa.array([30, 40, 50]))
    build_pyfunc(tmp_path / "mlflow", packaged, rows)
    path = tmp_path / "mlflow" / "MLmodel"
    described = yaml.safe_load(path.read_text())
    inputs = described["signature"]["inputs"]
    described["signature"]["inputs"] = inputs.replace(
        '{"type": "any", "name": "age"', '{"type": "long", "name": "age"'
    )
    assert described["signature"]["inputs"] != inputs
    path.write_text(yaml.safe_dump(described))
    with pytest.raises(ModelError, match=r"does not predict rows given as float64.*float64"):
        check_in_clean_process(tmp_path / "mlflow", Predictor.load(packaged), rows)

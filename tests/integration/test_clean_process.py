"""Models with planted faults, loaded in a process of their own."""

import importlib.metadata
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest
import torch
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
        self.hidden = [torch.nn.Dropout(0.5)]  # which eval() does not reach
        self.elsewhere = torch.ones(7, device="meta")

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
        ("x = self.hidden[0](x)", "predicts something else"),
        (
            "x = x.reshape(1, 7)",
            "does not predict rows given as they are in a process of its own.*reshape|shape",
        ),
        (
            "assert len(x) == 32, '32 rows, no more and no less'",
            "does not predict rows given among many.*32 rows, no more and no less",
        ),
        ("x = (x * self.elsewhere).cpu()", "does not predict rows given as they are.*meta"),
        (
            "importlib.import_module('hidden' + '_helper')",
            "does not predict rows given as they are.*No module named 'hidden_helper'",
        ),
        ("x = x / len(x)", "predicts rows otherwise among many others"),
    ],
    ids=[
        "none",
        "left-in-training-mode",
        "batch-of-one",
        "fixed-batch",
        "other-device",
        "missing-module",
        "depends-on-its-batch",
    ],
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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_model_that_needs_a_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = "return super().cuda().forward(x.cuda()).cpu()"
    with pytest.raises(ModelError, match=r"does not predict rows.*without a GPU \(.*CUDA"):
        build(tmp_path, monkeypatch, "gpu_net", fault)


def test_ids_that_are_whole_numbers_are_no_fault(tmp_path: Path) -> None:
    transform = people_transform()
    transform.column_types["person"] = "int64"
    packaged = save_example(tmp_path / "packaged", transform)
    rows = people(3).set_column(0, "person", pa.array([1, 2, 3]))
    build_pyfunc(tmp_path / "mlflow", packaged, rows)
    assert (tmp_path / "mlflow" / "MLmodel").is_file()


def test_what_the_users_code_imports_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, monkeypatch, "needy_net", "import sklearn.metrics, json")
    pinned = (tmp_path / "mlflow" / "requirements.txt").read_text()
    assert f"scikit-learn=={importlib.metadata.version('scikit-learn')}" in pinned.splitlines()
    assert "json" not in pinned

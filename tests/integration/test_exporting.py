"""Models written as ONNX and by torch.export, and run by what knows nothing of distrain."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from distrain.data.features import Transform
from distrain.display import NoDisplay
from distrain.errors import ModelError
from distrain.exporting import ExportResult, export
from distrain.track.packaged import Predictor
from distrain.track.user_code import find_user_code
from tests.example_models import image_transform, people, people_transform, save_example

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # torch's exporter warns

CNN: dict[str, object] = {"name": "cnn", "channels": [4, 8], "hidden": [8], "norm": "batch"}
BRANCHING = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(7, 2)

    def forward(self, x):
        return self.layer(x) if float(x.sum()) > 0 else self.layer(-x)
"""


def exported(
    folder: Path, name: str, transform: Transform, spec: dict[str, object] | None = None
) -> ExportResult:
    run = folder / "runs" / "people" / "r1"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    target = str((spec or {}).get("target", "")) or None
    save_example(run / "model", transform, spec, user_code=find_user_code(target))
    return export("r1", form=None, out=folder / name, storage=folder / "runs", display=NoDisplay())


@pytest.mark.long
def test_onnxruntime_predicts_raw_rows_as_the_model_does(tmp_path: Path) -> None:
    import onnxruntime

    result = exported(tmp_path, "model.onnx", people_transform())

    told = json.loads(result.description.read_text())
    rows = people(9)
    x = Transform.from_json(told["transform"]).apply(rows)["x"]
    session = onnxruntime.InferenceSession(str(result.out), providers=["CPUExecutionProvider"])
    logits = session.run([told["outputs"][0]["name"]], {told["inputs"][0]["name"]: x})[0]
    chances = torch.from_numpy(logits).softmax(dim=1).numpy()
    expected = Predictor.load(tmp_path / "runs" / "people" / "r1" / "model").predict(rows)
    for place, label in enumerate(told["outputs"][0]["classes"]):
        np.testing.assert_allclose(
            chances[:, place], expected[f"probability_{label}"].to_numpy(), atol=1e-5
        )
    assert result.difference < 1e-5


@pytest.mark.long
def test_torch_loads_images_scaled_inside_for_any_number_of_rows(tmp_path: Path) -> None:
    result = exported(tmp_path, "model.pt2", image_transform(), CNN)

    network = torch.export.load(result.out).module()
    images = torch.randint(0, 17, (33, 1, 8, 8), dtype=torch.uint8)
    predictor = Predictor.load(tmp_path / "runs" / "people" / "r1" / "model")
    with torch.no_grad():
        for rows in (1, 33):
            found = network(images[:rows]).numpy()
            np.testing.assert_allclose(
                found, predictor.outputs(images[:rows].numpy()), rtol=1e-4, atol=1e-5
            )


def test_a_model_that_branches_on_values_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "branching_net.py").write_text(BRANCHING)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModelError, match=r"cannot be exported.*branches on values"):
        exported(tmp_path, "model.pt2", people_transform(), {"target": "branching_net:Net"})

    assert not list(tmp_path.glob("*.pt2*"))

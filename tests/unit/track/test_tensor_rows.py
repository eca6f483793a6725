"""A packaged model that takes arrays, as the Dataset that it was trained on gave them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distrain.data.features import Transform
from distrain.errors import DataError
from distrain.models.build import build_model
from distrain.track.packaged import Predictor, save_packaged

ONE = {"form": "tensor", "fields": {"x": {"dtype": "float32", "shape": [6]}}}
TWO = {
    "form": "dict",
    "fields": {
        "left": {"dtype": "float32", "shape": [4]},
        "right": {"dtype": "float32", "shape": [2]},
    },
}
NUMBER: dict[str, Any] = {"target_mean": [0.0], "target_std": [1.0]}

pytestmark = pytest.mark.usefixtures("user_code")


def packaged(folder: Path, spec: dict[str, Any], transform: Transform) -> Predictor:
    module = build_model(
        spec, input_shape=transform.input_shape, num_outputs=transform.num_outputs, seed=1
    )
    save_packaged(
        folder,
        module_state=module.state_dict(),
        model_spec=spec,
        transform=transform,
        threads=1,
    )
    return Predictor.load(folder)


def test_an_array_is_predicted_as_the_network_does(tmp_path: Path) -> None:
    transform = Transform("classification", ["y"], classes=["a", "b"], inputs=ONE)
    predictor = packaged(tmp_path, {"name": "linear"}, transform)
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)

    table = predictor.predict(x)

    assert table.column_names == ["prediction", "probability_a", "probability_b"]
    assert predictor.predict(x.tolist()).equals(table)
    assert predictor.predict({"x": x[:1]}).equals(table.slice(0, 1))


def test_several_arrays_go_to_the_arguments_of_their_names(tmp_path: Path) -> None:
    transform = Transform("regression", ["label"], inputs=TWO, **NUMBER)
    predictor = packaged(tmp_path, {"target": "own_datasets:TwoSided"}, transform)
    x = torch.arange(12, dtype=torch.float32).reshape(2, 6).numpy()

    found = predictor.predict({"right": x[:, 4:], "left": x[:, :4]})

    assert found.num_rows == 2


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.zeros((3, 5), dtype=np.float32), r"x is of shape \(3, 5\).*Expected shape \(rows, 6\)"),
        (np.array([["a"] * 6]), "type <U1"),
        ({"y": np.zeros((3, 6))}, "x missing.*a dict of arrays: x float32"),
    ],
)
def test_rows_of_another_shape_are_told(rows: Any, told: str, tmp_path: Path) -> None:
    transform = Transform("classification", ["y"], classes=["a", "b"], inputs=ONE)
    predictor = packaged(tmp_path, {"name": "linear"}, transform)

    with pytest.raises(DataError, match=f"(?s){told}"):
        predictor.predict(rows)

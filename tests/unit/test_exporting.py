"""What is told of an exported model, and what is refused before one is loaded."""

from pathlib import Path

import numpy as np
import pytest

from distrain import exporting
from distrain.data.features import Transform
from distrain.display import NoDisplay
from distrain.errors import ConfigError, ModelError
from distrain.exporting import describe, export
from distrain.models import portable
from distrain.track.packaged import Predictor
from tests.example_models import (
    house_transform,
    image_transform,
    people,
    people_transform,
    save_example,
)

CNN: dict[str, object] = {"name": "cnn", "channels": [4], "hidden": [8]}


def predictor(
    folder: Path, transform: Transform, spec: dict[str, object] | None = None
) -> Predictor:
    return Predictor.load(save_example(folder / "model", transform, spec))


def test_the_description_has_the_input_in_order_and_how_outputs_are_read(tmp_path: Path) -> None:
    model = predictor(tmp_path, people_transform())

    told = describe(model, "onnx")

    assert told["inputs"] == [
        {
            "name": "x",
            "dtype": "float32",
            "shape": ["rows", 7],
            "features": model.transform.feature_names,
        }
    ]
    assert told["outputs"][0]["classes"] == ["<=50K", ">50K"]
    assert told["columns"] == ["age", "hours", "work"]
    rows = people(5)
    again = Transform.from_json(told["transform"]).apply(rows)["x"]
    assert np.array_equal(again, model.inputs(rows))


def test_the_description_of_values_says_how_they_get_their_unit(tmp_path: Path) -> None:
    output = describe(predictor(tmp_path, house_transform()), "torch")["outputs"][0]

    assert (output["mean"], output["deviation"]) == ([200_000.0], [100_000.0])


def test_images_go_in_as_bytes(tmp_path: Path) -> None:
    entry = describe(predictor(tmp_path, image_transform(), CNN), "torch")["inputs"][0]

    assert (entry["dtype"], entry["shape"]) == ("uint8", ["rows", 1, 8, 8])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_a_tensor_of_a_dataset_goes_in_as_the_dataset_gives_it(dtype: str) -> None:
    inputs = {"form": "tensor", "fields": {"x": {"dtype": dtype, "shape": [3]}}}
    transform = Transform("regression", ["y"], inputs=inputs)

    rows = exporting._made_inputs(transform)

    assert [(x.dtype.name, x.shape[1:]) for x in rows] == [(dtype, (3,))] * len(rows)


def test_several_tensors_of_a_dataset_are_no_input_of_a_file() -> None:
    field = {"dtype": "float32", "shape": [3]}
    inputs = {"form": "dict", "fields": {"left": field, "right": field}}

    with pytest.raises(ModelError, match=r"it takes left float32 \(rows, 3\), right.*one tensor"):
        exporting._check_one_input(Transform("regression", ["y"], inputs=inputs), "a run")


@pytest.mark.parametrize(
    ("out", "form", "told"),
    [
        ("model.bin", None, r"'\.bin' names no form of a model.*\.onnx or \.pt2"),
        ("model.onnx", "torch", r"ends in \.pt2.*Write model\.pt2"),
        ("there.onnx", None, "there already"),
        ("described.onnx", None, "there already"),
        ("nowhere/model.onnx", None, "does not exist"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_first(
    tmp_path: Path, out: str, form: portable.Form | None, told: str
) -> None:
    (tmp_path / "there.onnx").touch()
    (tmp_path / "described.onnx.json").touch()

    with pytest.raises(ConfigError, match=told):
        export("r", form=form, out=tmp_path / out, storage=tmp_path, display=NoDisplay())


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(ConfigError, match=r"onnx and onnxscript and onnxruntime are not.*export"):
        portable.check_installed("onnx")


def test_a_file_that_gives_something_else_is_refused_and_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "people" / "r1"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    save_example(run / "model", people_transform())
    monkeypatch.setattr(portable, "write", lambda *_: None)
    monkeypatch.setattr(portable, "run", lambda *given: np.zeros((len(given[2]), 2)))

    with pytest.raises(ModelError, match=r"other outputs on 1 rows: they differ by up to \d"):
        exporting.export(
            "r1",
            form=None,
            out=tmp_path / "model.onnx",
            storage=tmp_path / "runs",
            display=NoDisplay(),
        )

    assert [path.name for path in tmp_path.iterdir()] == ["runs"]

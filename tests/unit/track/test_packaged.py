import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import torch

from distrain.data.features import Transform
from distrain.errors import DataError, ModelError
from distrain.models.weights import weights_sha256
from distrain.track.packaged import Predictor, read_source, save_packaged, save_source
from distrain.track.user_code import find_user_code
from tests.example_models import (
    house_transform,
    image_transform,
    people,
    people_transform,
    save_example,
)

USERS_MODEL = """
import torch
from shared_layers import scaled

class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layer = torch.nn.Linear(7, 2)

    def forward(self, x):
        return scaled(self.layer(x))
"""


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(
        save_example(tmp_path_factory.mktemp("people") / "model", people_transform())
    )


def test_predictions_are_ids_then_labels_then_probabilities(predictor: Predictor) -> None:
    rows = people(5)
    predictions = predictor.predict(rows)
    assert predictions.column_names == [
        "person",
        "prediction",
        "probability_<=50K",
        "probability_>50K",
    ]
    assert predictions["person"].to_pylist() == rows["person"].to_pylist()
    chances = np.stack([predictions[f"probability_{label}"] for label in ("<=50K", ">50K")])
    np.testing.assert_allclose(chances.sum(axis=0), 1, atol=1e-6)
    labels = [("<=50K", ">50K")[place] for place in chances.argmax(axis=0)]
    assert predictions["prediction"].to_pylist() == labels


@pytest.mark.parametrize("size", [1, 2, 3, 7, 17, 100, 1000, 1024])
def test_a_row_gets_the_same_bits_whatever_rows_stand_beside_it(
    predictor: Predictor, size: int
) -> None:
    rows = people(2049)
    whole = predictor.predict(rows)
    parts = [predictor.predict(rows.slice(start, size)) for start in range(0, 2049, size)][:50]
    assert pa.concat_tables(parts).equals(whole.slice(0, 50 * size))


def test_no_rows_give_no_predictions(predictor: Predictor) -> None:
    empty = predictor.predict(people(3).slice(0, 0))
    assert empty.num_rows == 0
    assert empty.column_names == predictor.predict(people(3)).column_names


@pytest.mark.parametrize(
    "form",
    [
        lambda table: table.to_pandas(),
        lambda table: table.to_pylist(),
        lambda table: table.to_pydict(),
        lambda table: table.to_pandas().astype(object),
        lambda table: table.to_pandas().rename(columns=lambda name: f" {name} "),
        lambda table: table.append_column("extra", pa.nulls(table.num_rows)),
        lambda table: table.set_column(
            1, "age", pa.array([" ?" if a is None else f" {a}" for a in table["age"].to_pylist()])
        ),
    ],
    ids=["frame", "dicts", "columns", "objects", "blanks", "extra", "text"],
)
def test_rows_in_other_forms_give_the_same_predictions(predictor: Predictor, form: object) -> None:
    rows = people(50)
    expected = predictor.predict(rows).drop_columns(["person"])
    found = predictor.predict(form(rows))  # type: ignore[operator]
    assert found.select(expected.column_names).equals(expected)


def test_missing_columns_are_named_with_the_nearest(predictor: Predictor) -> None:
    rows = people(2).rename_columns(["person", "aeg", "hours", "work", "income"])
    with pytest.raises(DataError, match=r"'age'.*Did you mean 'aeg'"):
        predictor.predict(rows)


def test_ids_may_be_absent(predictor: Predictor) -> None:
    assert "person" not in predictor.predict(people(2).drop_columns(["person"])).column_names


def test_rows_of_no_known_form_are_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="rows of type int"):
        predictor.predict(7)


def test_regression_comes_back_in_the_users_unit(tmp_path: Path) -> None:
    predictor = Predictor.load(save_example(tmp_path / "m", house_transform()))
    rows = pa.table({"rooms": [3, 4, None]})
    outputs = predictor.outputs(predictor.transform.apply(rows)["x"])
    expected = outputs[:, 0].astype(np.float64) * 100_000 + 200_000
    assert predictor.predict(rows)["prediction"].to_pylist() == expected.tolist()


def test_images_are_normalised_on_the_way(tmp_path: Path) -> None:
    spec = {"name": "cnn", "channels": [4], "hidden": [8]}
    predictor = Predictor.load(save_example(tmp_path / "m", image_transform(), spec))
    pixels = np.random.default_rng(0).integers(0, 17, (5, 64), dtype=np.uint8)
    flat = predictor.predict(pa.table({"image": pixels.tolist()}))
    nested = predictor.predict([{"image": image.reshape(8, 8)} for image in pixels])
    assert flat["prediction"].type == pa.int64()
    assert nested.equals(flat)


def test_the_number_of_threads_is_put_back(predictor: Predictor) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    predictor.predict(people(2))
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == 2


def test_the_folder_holds_safetensors_and_json_only(tmp_path: Path) -> None:
    folder = save_example(tmp_path / "m", people_transform())
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]
    state = safetensors.torch.load_file(folder / "model.safetensors")
    assert Predictor.load(folder).weights_sha256 == weights_sha256(state)


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    shared = torch.ones(3, 3)
    save_packaged(
        tmp_path,
        module_state={"a": shared, "b": shared},
        model_spec={"name": "linear"},
        transform=people_transform(),
        threads=1,
    )
    assert len(safetensors.torch.load_file(tmp_path / "model.safetensors")) == 2


def test_state_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds a dict"):
        save_packaged(
            tmp_path,
            module_state={"extra": {}},  # type: ignore[dict-item]
            model_spec={"name": "linear"},
            transform=people_transform(),
            threads=1,
        )


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    folder = save_example(tmp_path / "m", people_transform())
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not the ones that were saved"):
        Predictor.load(folder)


def test_torn_weights_are_told_in_four_parts(tmp_path: Path) -> None:
    folder = save_example(tmp_path / "m", people_transform())
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="the weights cannot be read") as caught:
        Predictor.load(folder)
    assert caught.value.where == str(path)
    assert "safetensors" in caught.value.expected
    assert "from the registry" in caught.value.mend


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "no model can be read"), ('{"format": 99}', "format is 99"), ("[]", "format is None")],
)
def test_a_folder_that_holds_no_model_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        Predictor.load(tmp_path)


def test_the_source_facts_come_back(tmp_path: Path) -> None:
    assert read_source(tmp_path) == (None, {})
    save_source(tmp_path, "csv", {"header": False, "names": ["a"]})
    assert read_source(tmp_path) == ("csv", {"header": False, "names": ["a"]})


def users_folder(tmp_path: Path, factor: int) -> Path:
    folder = tmp_path / f"code{factor}"
    (folder / "shared_layers").mkdir(parents=True)
    (folder / "shared_layers" / "__init__.py").write_text("from .scale import scaled\n")
    (folder / "shared_layers" / "scale.py").write_text(f"def scaled(x):\n    return x * {factor}\n")
    (folder / "users_net.py").write_text(USERS_MODEL)
    (folder / "unrelated.py").write_text("raise SystemExit\n")
    return folder


@pytest.fixture
def no_users_modules() -> object:
    def forget() -> None:
        for name in [n for n in sys.modules if n.startswith(("users_net", "shared_layers"))]:
            del sys.modules[name]

    forget()
    yield forget
    forget()


def test_a_users_model_is_loaded_from_the_code_saved_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_users_modules: object
) -> None:
    transform = people_transform()
    spec = {"target": "users_net:Net", "args": {"width": 4}}
    monkeypatch.syspath_prepend(str(users_folder(tmp_path, 1)))
    code = find_user_code("users_net:Net")
    folder = save_example(tmp_path / "m", transform, spec, user_code=code)
    first = Predictor.load(folder).predict(people(20))
    no_users_modules()  # type: ignore[operator]
    monkeypatch.syspath_prepend(str(users_folder(tmp_path, 3)))
    import users_net  # type: ignore[import-not-found]

    assert sorted(path.name for path in code) == ["shared_layers", "users_net.py"]
    assert Predictor.load(folder).predict(people(20)).equals(first)
    assert users_net.scaled(1) == 3
    assert sys.modules["users_net"] is users_net


def test_a_users_model_loads_where_its_code_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_users_modules: object
) -> None:
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(users_folder(tmp_path, 1)))
        spec = {"target": "users_net:Net", "args": {}}
        folder = save_example(
            tmp_path / "m", people_transform(), spec, user_code=find_user_code("users_net:Net")
        )
        expected = Predictor.load(folder).predict(people(9))
    no_users_modules()  # type: ignore[operator]
    assert Predictor.load(folder).predict(people(9)).equals(expected)


def test_installed_code_is_no_user_code() -> None:
    assert find_user_code("torch.nn:Linear") == []
    assert find_user_code("json:loads") == []
    assert find_user_code("no_such_module:Net") == []
    assert find_user_code(None) == []


def test_the_description_is_plain_json(tmp_path: Path) -> None:
    folder = save_example(tmp_path / "m", people_transform())
    description = json.loads((folder / "model.json").read_text())
    assert Transform.from_json(description["transform"]) == people_transform()

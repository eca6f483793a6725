"""A configuration and what is handed over beside it become settings and import paths."""

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

from distrain.config.digest import config_digest
from distrain.config.settings import Settings
from distrain.errors import ConfigError, ModelError
from distrain.handed.over import Handed, hand_over
from distrain.models.weights import weights_sha256
from distrain.track.user_code import find_user_code
from tests.notebook_cells import CELL, run_as_main
from tests.user_models import TwoLayers, first_output

Over = Callable[..., tuple[Settings, list[str]]]


@pytest.fixture
def over(tmp_path: Path) -> Over:
    def hand(*args: Any, **handed: Any) -> tuple[Settings, list[str]]:
        config, sections = (args or ({},))[0], handed.pop("sections", {})
        usual = {"storage": str(tmp_path / "runs"), "data": {"source": "a.csv", "target": "y"}}
        return hand_over({**usual, **config}, (), sections, Handed(**handed))

    return hand


@pytest.fixture
def imports() -> Iterator[Callable[[list[str], str], Any]]:
    """Give what finds an import path in folders; afterwards they are as before."""
    before, modules = list(sys.path), set(sys.modules)

    def found(folders: list[str], path: str) -> Any:
        sys.path[:0] = folders
        importlib.invalidate_caches()
        module, _, name = path.partition(":")
        return getattr(importlib.import_module(module), name)

    yield found
    sys.path[:] = before
    for name in [name for name in sys.modules if name not in modules]:
        if name.startswith("given_"):
            del sys.modules[name]


class Clipped(nn.Module):
    """A loss that keeps what it was made with under another name."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.limit = most


def test_a_frame_becomes_the_source(over: Over) -> None:
    settings, folders = over(data=pd.DataFrame({"x": [1, 2], "z": [0, 1]}), target="z")
    assert Path(str(settings.data.source)).is_file()
    assert (settings.data.target, folders) == ("z", [])


def test_frames_for_training_and_test_become_two_sources(over: Over) -> None:
    frames = [pd.DataFrame({"x": [1, 2], "y": [0, last]}) for last in (1, 2)]
    settings, _ = over(data=frames[0], test_data=frames[1])
    assert Path(str(settings.data.test_source)).is_file()
    assert settings.data.test_source != settings.data.source


def test_a_path_is_a_source(over: Over, tmp_path: Path) -> None:
    settings, _ = over(data=tmp_path / "b.csv", test_data=str(tmp_path / "c.csv"))
    assert settings.data.source == str(tmp_path / "b.csv")
    assert settings.data.test_source == str(tmp_path / "c.csv")


def test_sections_win_over_the_configuration(over: Over) -> None:
    settings, _ = over(
        {"train": {"epochs": 3, "logical_shards": 2}},
        sections={"train": {"epochs": 5}, "name": "mine"},
    )
    assert (settings.name, settings.train.epochs, settings.train.logical_shards) == ("mine", 5, 2)


@pytest.mark.slow
@pytest.mark.long
def test_classes_and_functions_of_a_module_are_named_by_their_path(over: Over) -> None:
    settings, folders = over(model=partial(TwoLayers, features=6), loss=first_output)
    assert settings.model.model_dump()["target"] == "tests.user_models:TwoLayers"
    assert settings.model.model_dump()["args"] == {"features": 6}
    assert settings.train.loss is not None
    assert settings.train.loss.model_dump() == {
        "target": "tests.user_models:first_output",
        "args": {},
    }
    assert folders == [str(Path(__file__).parents[3])]


@pytest.mark.slow
@pytest.mark.long
def test_arguments_may_stand_in_the_configuration(over: Over) -> None:
    settings, _ = over({"model": {"args": {"features": 6}}}, model=TwoLayers)
    assert settings.model.model_dump()["args"] == {"features": 6}


def test_a_class_of_a_notebook_is_kept_with_its_source(
    over: Over, imports: Callable[[list[str], str], Any], tmp_path: Path
) -> None:
    cell = run_as_main(CELL)

    settings, folders = over(model=partial(cell["Net"], size="small"))
    again, _ = over(model=partial(cell["Net"], size="small"))

    target = settings.model.model_dump()["target"]
    kind = imports(folders, target)
    assert kind is not cell["Net"]
    assert kind(size="small")(torch.zeros(2)).shape == (3,)
    assert [path.parent for path in find_user_code(target)] == [Path(folders[0])]
    assert config_digest(again) == config_digest(settings)
    assert len(list((tmp_path / "runs" / "given").iterdir())) == 1


@pytest.mark.slow
def test_a_module_begins_with_the_weights_that_it_has(
    over: Over, imports: Callable[[list[str], str], Any]
) -> None:
    model = nn.Sequential(TwoLayers(6), nn.Softplus())
    settings, folders = over(model=model)

    wanted = settings.model.init_from
    assert wanted is not None
    assert wanted.sha256 == weights_sha256(model)
    built = imports(folders, settings.model.model_dump()["target"])()
    built.load_state_dict(safetensors.torch.load_file(wanted.source))
    x = torch.randn(2, 6)
    assert torch.equal(built(x), model(x))
    assert (Path(folders[0]) / "tests" / "user_models.py").is_file()


def test_a_module_of_a_notebook_is_built_from_the_kept_source(
    over: Over, imports: Callable[[list[str], str], Any]
) -> None:
    model = run_as_main(CELL)["Net"]()
    settings, folders = over(model=model)
    built = imports(folders, settings.model.model_dump()["target"])()
    assert type(built) is not type(model)
    assert repr(built) == repr(model)


@pytest.mark.parametrize(
    ("handed", "error", "message"),
    [
        ({"model": partial(TwoLayers, 6)}, ConfigError, "1 positional arguments"),
        ({"model": 3}, ConfigError, "a int is handed over"),
        ({"loss": 3}, ConfigError, "a int is handed over"),
        ({"model": lambda: None}, ModelError, "would not find it"),
        ({"data": [1, 2]}, ConfigError, "data is of type builtins.list"),
    ],
)
def test_what_cannot_be_handed_over_is_refused(
    over: Over, handed: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        over(**handed)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("loss", "args"),
    [
        (nn.MSELoss(), {}),
        (nn.CrossEntropyLoss(label_smoothing=0.1), {"label_smoothing": 0.1}),
        (nn.CrossEntropyLoss(torch.tensor([0.25, 2.0])), {"weight": [0.25, 2.0]}),
        (partial(nn.HuberLoss, delta=0.5), {"delta": 0.5}),
    ],
)
def test_a_loss_object_becomes_its_class_and_arguments(
    over: Over, loss: Any, args: dict[str, Any]
) -> None:
    settings, folders = over(loss=loss)
    kind = loss.func if isinstance(loss, partial) else type(loss)
    assert settings.train.loss is not None
    assert settings.train.loss.model_dump() == {
        "target": f"torch.nn.modules.loss:{kind.__name__}",
        "args": args,
    }
    assert folders == []


def test_a_loss_object_that_does_not_tell_its_arguments_is_refused(over: Over) -> None:
    with pytest.raises(ModelError, match="a Clipped cannot be made again for the workers"):
        over(loss=Clipped(3.0))


def test_a_module_beside_other_weights_is_refused(over: Over) -> None:
    with pytest.raises(ConfigError, match="names other weights to begin with"):
        over({"model": {"init_from": "models:/a/1"}}, model=nn.Linear(2, 2))


def test_an_object_store_takes_nothing_from_python(over: Over) -> None:
    with pytest.raises(ConfigError, match="kept in a folder that the workers see"):
        over({"storage": "s3://bucket/runs"}, model=nn.Linear(2, 2))

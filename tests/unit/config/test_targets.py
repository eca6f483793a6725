"""What a configuration names of the user's own code."""

from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.targets import user_targets

DATA = {"source": "a.csv", "target": "y", "task": "regression"}


def of_search(**tune: Any) -> list[tuple[str, str]]:
    space = {"train.optimizer.lr": {"loguniform": [0.001, 0.1]}}
    settings = settings_from_dict({"data": DATA, "tune": {"space": space, **tune}})
    return user_targets(settings, is_search=True)


def test_built_ins_name_no_code() -> None:
    assert user_targets(settings_from_dict({"data": DATA})) == []
    assert of_search(constraints=["train.optimizer.lr < 1"]) == []


def test_each_import_path_is_named_with_its_key() -> None:
    settings = settings_from_dict(
        {
            "data": DATA,
            "model": {"target": "net:Net"},
            "train": {"loss": {"target": "losses:own"}},
            "evaluate": {"metrics": ["rmse", {"target": "metrics:own"}]},
        }
    )
    assert user_targets(settings) == [
        ("model.target", "net:Net"),
        ("train.loss.target", "losses:own"),
        ("evaluate.metrics", "metrics:own"),
    ]


@pytest.mark.parametrize(
    ("space", "key"),
    [
        ({"model": {"choice": ["mlp", "net:Net"]}}, "tune.space.model"),
        ({"model": {"choice": ["mlp", {"target": "net:Net"}]}}, "tune.space.model"),
    ],
)
def test_code_among_the_choices_of_a_search_is_named(space: dict[str, Any], key: str) -> None:
    assert of_search(space=space) == [(key, "net:Net")]


def test_functions_for_constraints_are_named() -> None:
    assert of_search(constraints=["rules:own"]) == [("tune.constraints", "rules:own")]

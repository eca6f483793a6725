"""What is told of population-based training before anything begins."""

from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.errors import ConfigError

LR = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}


def search_of(space: dict[str, Any], scheduler: Any = None, **fields: Any) -> Settings:
    train = {"epochs": 8, **fields.pop("train", {})}
    tune = {"space": space, "scheduler": scheduler or {"name": "pbt"}, **fields.pop("tune", {})}
    data = {"source": "a.csv", "target": "y"}
    return settings_from_dict({"data": data, "train": train, "tune": tune, **fields})


@pytest.mark.parametrize(
    ("space", "fields", "told"),
    [
        (
            {"model.hidden": {"choice": [[8], [16]]}},
            {},
            "tune.space.model.hidden stands beside tune.scheduler = pbt.*would be others"
            ".*one of model.dropout, train.gradient_clip_norm",
        ),
        ({"seed": {"choice": [1, 2]}}, {}, "which rows make up a step depends on it"),
        (
            {"train.optimizer": {"choice": [{"name": "sgd"}, {"name": "adam"}]}},
            {},
            "what one optimizer keeps of the parameters is of no use to another",
        ),
        (
            {"train.lr_schedule": {"choice": ["constant", "cosine"]}},
            {},
            "a run has it from its first step to its last",
        ),
        (
            {**LR, "model.dropout": {"uniform": [0, 0.5], "when": {"train.optimizer.lr": 0.1}}},
            {"model": {"name": "mlp"}},
            "tune.space.model.dropout.when stands beside tune.scheduler = pbt",
        ),
        (LR, {"tune": {"num_trials": 1}}, "num_trials = 1 is no population"),
    ],
)
def test_what_is_wrong_with_a_population(
    space: dict[str, Any], fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        search_of(space, **fields)


@pytest.mark.parametrize(
    ("scheduler", "fields", "told"),
    [
        (
            {"perturbation_interval": 8},
            {},
            "perturbation_interval = 8 is not less than train.epochs = 8, so no trial would be "
            "compared",
        ),
        (
            {"perturbation_interval": 3},
            {"evaluate": {"every_epochs": 2}},
            "perturbation_interval = 3 is no multiple of evaluate.every_epochs = 2.*"
            "Use perturbation_interval = 4",
        ),
        ({"time_attr": "step"}, {}, "does not say how many steps a trial has"),
        ({"quantile_fraction": 0.6}, {}, "quantile_fraction"),
        ({"resample_probability": 1.5}, {}, "resample_probability"),
    ],
)
def test_what_is_wrong_with_its_times(
    scheduler: dict[str, Any], fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        search_of(LR, {"name": "pbt", **scheduler}, **fields)


def test_a_population_may_vary_all_that_can_change() -> None:
    space = {
        **LR,
        "train.optimizer.momentum": {"uniform": [0.5, 0.99]},
        "train.optimizer.weight_decay": {"loguniform": [1e-6, 1e-2]},
        "train.gradient_clip_norm": {"choice": [None, 0.5, 1.0]},
        "model.dropout": {"uniform": [0, 0.5]},
    }

    found = search_of(space, "pbt", train={"optimizer": {"name": "sgd"}}, model={"name": "mlp"})

    assert found.tune is not None
    assert found.tune.scheduler.name == "pbt"

"""What is told of `train.changes` before anything begins, and what the parts of a run are."""

from typing import Any

import pytest

from distrain.config.course import parts_of
from distrain.config.digest import config_digest, dump_yaml, steps_digest
from distrain.config.load import load_settings, settings_from_dict
from distrain.config.settings import Settings
from distrain.errors import ConfigError


def change(step: int, **values: Any) -> dict[str, Any]:
    return {"step": step, "values": {key.replace("__", "."): one for key, one in values.items()}}


def run_of(*changes: dict[str, Any], **train: Any) -> Settings:
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "model": {"name": "mlp"},
            "train": {"epochs": 8, "changes": list(changes), **train},
        }
    )


def test_parts_of_a_run_have_the_values_that_hold_in_them() -> None:
    settings = run_of(
        change(10, train__optimizer__lr=0.5, model__dropout=0.1),
        change(20, train__optimizer__lr=0.25),
    )

    found = [
        (step, values["train"]["optimizer"]["lr"], values["model"]["dropout"])
        for step, values, _ in parts_of(settings)
    ]

    assert found == [(0, 0.001, 0.0), (10, 0.5, 0.1), (20, 0.25, 0.1)]


def test_what_comes_later_changes_no_digest_of_a_part() -> None:
    one = run_of(change(10, train__optimizer__lr=0.5), change(20, train__optimizer__lr=0.1))
    other = run_of(change(10, train__optimizer__lr=0.5), change(20, train__optimizer__lr=0.2))
    digests = [[steps_digest(so_far) for *_, so_far in parts_of(each)] for each in (one, other)]

    assert digests[0][:2] == digests[1][:2]
    assert digests[0][2] != digests[1][2]
    assert digests[0][2] == steps_digest(one)
    assert digests[0][0] == steps_digest(run_of_none())


def run_of_none() -> Settings:
    data = {"source": "a.csv", "target": "y"}
    return settings_from_dict({"data": data, "model": {"name": "mlp"}, "train": {"epochs": 8}})


def test_a_dumped_course_loads_as_it_was(tmp_path: Any) -> None:
    settings = run_of(
        change(10, train__optimizer__lr=1.234e-05, train__gradient_clip_norm=None),
        change(20, train__optimizer__betas=[0.5, 0.99]),
    )
    (tmp_path / "config.yaml").write_text(dump_yaml(settings), encoding="utf-8")

    again = load_settings([tmp_path / "config.yaml"])

    assert again == settings
    assert config_digest(again) == config_digest(settings)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([], "train.changes is empty"),
        ([change(5)], r"train.changes\[0\].values is empty"),
        (
            [change(5, train__optimizer__lr=1.0), change(5, train__optimizer__lr=2.0)],
            r"train.changes\[1\].step = 5 does not come after 5",
        ),
        (
            [change(5, model__hidden=[8])],
            r"model.hidden cannot change in the course of a run: the model .* would be others.*"
            r"one of model.dropout, train.gradient_clip_norm, .*train.optimizer.weight_decay",
        ),
        (
            [change(5, train__global_batch_size=64)],
            "train.global_batch_size cannot change .*: which rows make up a step depends on it",
        ),
        ([change(5, train__optimizer__l=1.0)], "Did you mean 'train.optimizer.lr'"),
        ([change(5, train__optimizer__lr=-1.0)], r"train.changes\[0\].values: train.optimizer.lr"),
        ([change(5, train__optimizer__momentum=0.5)], "momentum: unknown key for adamw"),
    ],
)
def test_what_is_wrong_with_changes(changes: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run_of(*changes)


@pytest.mark.parametrize(
    ("train", "values", "told"),
    [
        (
            {"optimizer": {"name": "rmsprop"}},
            {"train__optimizer__momentum": 0.5},
            "rmsprop keeps a momentum only where it began with one",
        ),
        ({"compile": True}, {"model__dropout": 0.5}, "a model that torch has compiled"),
        (
            {"optimizer": {"name": "sgd", "nesterov": True}},
            {"train__optimizer__momentum": 0.0},
            r"train.changes\[0\].values: train.optimizer.nesterov = true needs a momentum above 0",
        ),
    ],
)
def test_what_the_rest_of_the_run_speaks_against(
    train: dict[str, Any], values: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        run_of(change(5, **values), **train)


def test_a_change_behind_the_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"step = 9 is not less than train.steps = 9"):
        run_of(change(9, train__optimizer__lr=0.5), epochs=None, steps=9)

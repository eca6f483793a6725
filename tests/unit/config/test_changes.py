"""What may change in a run that goes on."""

from typing import Any

import pytest

from distrain.config.changes import changed_keys, with_counterparts
from distrain.config.digest import config_digest, steps_digest
from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError

LEAST: dict[str, Any] = {
    "data": {"source": "/a.csv", "target": "y"},
    "train": {"epochs": 5, "lr_schedule": "constant", "checkpoint": {"every_s": 30}},
}


def changed(*overrides: str, stored: dict[str, Any] = LEAST) -> dict[str, str]:
    wanted = settings_from_dict(stored, with_counterparts(overrides))
    return changed_keys(settings_from_dict(stored), wanted)


@pytest.mark.parametrize(
    "override",
    [
        "train.num_workers=3",
        "train.resources_per_worker.cpu=2",
        "train.checkpoint.keep=9",
        "train.max_failures=0",
        "track.every_steps=7",
        "track.register.alias=champion",
        "cluster.address=auto",
        "cluster.env.A=b",
        "data.source=/elsewhere/a.csv",
        "data.cache.path=/cache",
        "train.epochs=6",
    ],
)
def test_what_leaves_everything_computed_alone_can_change(override: str) -> None:
    stored, wanted = settings_from_dict(LEAST), settings_from_dict(LEAST, [override])

    assert list(changed(override)) == [override.partition("=")[0]]
    assert steps_digest(wanted) == steps_digest(stored)


def test_a_change_is_told_with_old_and_new_value() -> None:
    assert changed("train.num_workers=3") == {"train.num_workers": '"auto" -> 3'}


def test_a_value_that_is_the_same_is_no_change() -> None:
    assert changed("train.optimizer.lr=0.001", "seed=0", "train.epochs=5") == {}


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("seed=1", "the result depends on it"),
        ("model.hidden=[4]", "the result depends on it"),
        ("train.global_batch_size=64", "the result depends on it"),
        ("train.optimizer=sgd", "the result depends on it"),
        ("data.split.seed=1", "the result depends on it"),
        ("evaluate.metrics=[accuracy]", "the result depends on it"),
        ("name=other", "called by it"),
        ("storage=/elsewhere", "lies there"),
        ("train.ledger=true", "part of the run"),
        ("evaluate.goals={test/loss: < 1}", "stated before training"),
        ("train.epochs=4", "only be made longer"),
        ("train.steps=100", "epochs or steps"),
    ],
)
def test_what_would_make_it_another_run_is_refused_with_its_reason(override: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as raised:
        changed(override)

    assert override.partition("=")[0].split(".")[0] in str(raised.value)
    assert "distrain train" in str(raised.value)


def test_all_that_cannot_change_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        changed("seed=1", "train.optimizer.lr=0.5")

    assert "seed = 1 cannot take the place of 0" in str(raised.value)
    assert "train.optimizer.lr = 0.5 cannot take the place of 0.001" in str(raised.value)


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_a_schedule_over_the_whole_run_fixes_its_length(name: str) -> None:
    stored = {**LEAST, "train": {"epochs": 5, "lr_schedule": name}}

    with pytest.raises(ConfigError, match=f"lr_schedule = {name} depends on the number of steps"):
        changed("train.epochs=6", stored=stored)

    longer = settings_from_dict(stored, ["train.epochs=6"])
    assert steps_digest(longer) != steps_digest(settings_from_dict(stored))


def test_the_length_stays_in_the_digest_that_tells_where_a_model_comes_from() -> None:
    longer = settings_from_dict(LEAST, ["train.epochs=6"])

    assert config_digest(longer) != config_digest(settings_from_dict(LEAST))


@pytest.mark.parametrize(
    "override",
    [
        "train.checkpoint.every_steps=5",
        "train.checkpoint={every_steps: 5}",
        "train={checkpoint: {every_steps: 5}}",
    ],
)
def test_the_other_way_to_say_how_often_replaces_the_stored_one(override: str) -> None:
    assert changed(override) == {
        "train.checkpoint.every_s": "30.0 -> null",
        "train.checkpoint.every_steps": "null -> 5",
    }


def test_a_secret_that_is_given_again_is_masked() -> None:
    stored = {**LEAST, "cluster": {"env": {"API_KEY": "***"}}}

    assert changed("cluster.env.API_KEY=planted", stored=stored) == {
        "cluster.env.API_KEY": '"***" -> "***"'
    }

"""What a job is made small by, and what of it stays."""

from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.jobs.chaos.small import (
    fitting_steps,
    has_promised_bits,
    secret_overrides,
    small_overrides,
    steps_asked,
)

DATA = {"source": "sklearn:digits", "target": "target"}


def settings(**sections: Any) -> Settings:
    return settings_from_dict({"data": DATA, **sections})


def made_small(steps: int = 240, **sections: Any) -> Settings:
    return settings_from_dict(
        {"data": DATA, **sections}, small_overrides(settings(**sections), steps)
    )


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"epochs": 30, "early_stopping": {"patience": 1}, "max_time_s": 5},
        {"steps": 9000, "lr_schedule": {"name": "cosine", "warmup_steps": 1000}},
        {"epochs": 9, "changes": [{"step": 900, "values": {"train.optimizer.lr": 0.1}}]},
        {"checkpoint": {"every_s": 5}, "num_workers": {"min": 1, "max": 4}},
    ],
)
def test_any_job_becomes_a_short_one_that_nothing_ends_early(train: dict[str, Any]) -> None:
    small = made_small(train=train).train

    assert (small.steps, small.epochs, small.num_workers) == (240, None, 2)
    assert (small.checkpoint.every_steps, small.checkpoint.every_s) == (10, None)
    assert (small.early_stopping, small.max_time_s) == (None, None)
    assert small.ledger


def test_what_the_job_is_stays_as_it_is() -> None:
    train = {"global_batch_size": 64, "logical_shards": 8, "optimizer": {"name": "sgd"}}
    before, after = settings(train=train), made_small(train=train)

    assert (after.data, after.model, after.seed) == (before.data, before.model, before.seed)
    assert after.train.model_copy(update=dict.fromkeys(_OVERRIDDEN)) == before.train.model_copy(
        update=dict.fromkeys(_OVERRIDDEN)
    )


_OVERRIDDEN = (
    *("epochs", "steps", "num_workers", "resources_per_worker", "checkpoint", "max_failures"),
    *("ledger", "early_stopping", "restore_best"),
)


def test_a_batch_in_one_part_has_one_worker() -> None:
    assert made_small(train={"logical_shards": 1}).train.num_workers == 1


def test_fewer_steps_have_closer_checkpoints() -> None:
    small = made_small(48)

    assert small.train.checkpoint.every_steps == 2
    assert small.evaluate.every_steps == 12


@pytest.mark.parametrize(("pace_s", "steps"), [(0.0, 240), (0.25, 240), (0.5, 120), (9.0, 48)])
def test_slow_steps_are_fewer_but_enough_for_faults(pace_s: float, steps: int) -> None:
    assert fitting_steps(240, pace_s) == steps
    assert fitting_steps(20, pace_s) == 20


def test_a_search_is_left_out() -> None:
    tune = {"space": {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}, "num_trials": 2}

    assert made_small(tune={**tune, "metric": "validation/loss"}).tune is None


def test_only_steps_of_the_command_line_are_asked_for() -> None:
    asked = settings(train={"steps": 60})

    assert steps_asked(asked, ["seed=1", "train.steps=60"]) == 60
    assert steps_asked(asked, ["seed=1"]) is None


@pytest.mark.parametrize(
    ("train", "has_bits"),
    [({}, True), ({"reduction": "fast"}, False), ({"strategy": "fsdp"}, False)],
)
def test_exact_reduction_alone_promises_bits(train: dict[str, Any], has_bits: bool) -> None:
    assert has_promised_bits(settings(train=train)) is has_bits


def test_a_secret_is_handed_on_as_a_variable() -> None:
    env = {"API_KEY": "mine", "LEVEL": "3"}

    words, variables = secret_overrides(settings(cluster={"env": env}))

    assert words == ["cluster.env.API_KEY=${DISTRAIN_CHAOS_SECRET_0}"]
    assert variables == {"DISTRAIN_CHAOS_SECRET_0": "mine"}

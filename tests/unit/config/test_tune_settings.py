"""`tune:` as it is written, short and long, and what its defaults become."""

import pytest

from distrain.config.digest import config_digest, dump_yaml, resolved_dict
from distrain.config.load import load_settings, settings_from_dict
from distrain.config.schema import json_schema, list_entries
from distrain.config.tune import (
    AshaScheduler,
    CmaEsSearch,
    HyperbandScheduler,
    MedianScheduler,
    NoScheduler,
    PlateauScheduler,
    RandomSearch,
    ShaScheduler,
    TpeSearch,
)
from distrain.errors import ConfigError

LEAST = {"data": {"source": "a.csv", "target": "y"}}
LR = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}


def load(*overrides, space=None, **tune):
    return settings_from_dict(LEAST | {"tune": {"space": space or LR, **tune}}, overrides)


def test_a_configuration_without_a_search_has_none():
    assert settings_from_dict(LEAST).tune is None


def test_the_space_alone_is_a_search():
    tune = load().tune

    assert (tune.metric, tune.mode, tune.num_trials) == ("validation/loss", "min", 20)
    assert tune.search_alg == RandomSearch(name="random")
    assert tune.scheduler == NoScheduler(name="none")
    assert (tune.max_concurrent, tune.constraints, tune.start_from) == ("auto", [], [])
    assert resolved_dict(load())["tune"]["budget"] == {
        "wall_s": None,
        "epochs": None,
        "gpu_hours": None,
    }


@pytest.mark.parametrize(
    ("scheduler", "arguments"),
    [
        (ShaScheduler, {"time_attr": "epoch", "grace_period": 1, "reduction_factor": 4}),
        (AshaScheduler, {"time_attr": "epoch", "grace_period": 1, "reduction_factor": 4}),
        (HyperbandScheduler, {"time_attr": "epoch", "grace_period": 1, "reduction_factor": 4}),
        (MedianScheduler, {"time_attr": "epoch", "grace_period": 1, "min_samples": 3}),
        (
            PlateauScheduler,
            {"time_attr": "epoch", "grace_period": 1, "window": 4, "tolerance": 0.001},
        ),
    ],
)
def test_a_word_is_a_scheduler_with_its_defaults(scheduler, arguments):
    name = scheduler.__name__.removesuffix("Scheduler").lower()

    assert load(scheduler=name).tune.scheduler == scheduler(name=name, **arguments)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("tpe", TpeSearch(name="tpe", num_startup=10)),
        ({"name": "tpe", "num_startup": 3}, TpeSearch(name="tpe", num_startup=3)),
        ("cmaes", CmaEsSearch(name="cmaes", sigma=None)),
    ],
)
def test_a_search_algorithm_is_a_word_or_a_mapping(given, expected):
    assert load(search_alg=given).tune.search_alg == expected


def test_the_mode_follows_the_metric():
    assert load(metric="validation/accuracy").tune.mode == "max"


@pytest.mark.parametrize(
    ("space", "points"),
    [
        ({"model.hidden": {"choice": [[1], [2]]}, "seed": {"randint": [0, 3]}}, 6),
        ({"train.global_batch_size": {"quniform": [64, 256, 64]}}, 4),
        ({"model.dropout": {"quniform": [0, 0.3, 0.1]}}, 4),
        (
            {
                "model.norm": {"grid": [None, "batch"]},
                "model.dropout": {"grid": [0.1, 0.2, 0.3], "when": {"model.norm": "batch"}},
            },
            4,
        ),
    ],
)
def test_a_grid_runs_all_of_its_points(space, points):
    assert load(space=space, search_alg="grid").tune.num_trials == points


def test_the_resolved_file_gives_equal_settings(tmp_path):
    settings = load(
        space={
            **LR,
            "model.dropout": {"uniform": [0, 0.5], "when": {"model.name": ["mlp", "cnn"]}},
            "train.gradient_clip_norm": {"choice": [None, 1.0]},
        },
        search_alg="tpe",
        scheduler="asha",
        start_from=[{"train.optimizer.lr": 0.01}],
        constraints=["train.global_batch_size >= 64"],
    )
    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml(settings), encoding="utf-8")

    assert load_settings([file]) == settings


def test_only_what_a_parameter_was_given_is_written():
    assert resolved_dict(load())["tune"]["space"] == {
        "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}
    }


def test_the_search_is_no_part_of_the_digest():
    assert config_digest(load()) == config_digest(settings_from_dict(LEAST))


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("tune.space.seed={choice: [1, 2]}", "seed", {"choice": [1, 2]}),
        (
            "tune.space.train.optimizer.lr={uniform: [0.1, 0.2]}",
            "train.optimizer.lr",
            {"uniform": [0.1, 0.2]},
        ),
        (
            "tune.space.train.optimizer.lr.loguniform=[0.1, 0.2]",
            "train.optimizer.lr",
            {"loguniform": [0.1, 0.2]},
        ),
    ],
)
def test_an_override_replaces_what_a_key_varies_over(override, key, expected):
    assert resolved_dict(load(override))["tune"]["space"][key] == expected


def test_an_override_changes_one_argument_of_a_scheduler():
    scheduler = load("tune.scheduler.reduction_factor=3", scheduler="asha").tune.scheduler

    assert (scheduler.name, scheduler.reduction_factor) == ("asha", 3)


def test_an_unknown_key_leads_to_the_right_one():
    with pytest.raises(ConfigError) as caught:
        load(sheduler="asha")

    assert str(caught.value) == (
        "tune.sheduler: unknown key. Did you mean 'scheduler'? Valid keys: audit_fraction, budget, "
        "confirm, constraints, max_concurrent, metric, mode, num_seeds, num_trials, scheduler, "
        "search_alg, space, start_from, workers_per_trial."
    )


def test_schedulers_and_search_algorithms_are_listed():
    assert [entry.name for entry in list_entries("schedulers")] == [
        "none",
        "sha",
        "asha",
        "hyperband",
        "median",
        "plateau",
        "pbt",
    ]
    assert [entry.name for entry in list_entries("search_algs")] == [
        "grid",
        "random",
        "sobol",
        "tpe",
        "cmaes",
    ]


def test_the_schema_takes_a_word_for_a_scheduler():
    scheduler = json_schema()["$defs"]["TuneSettings"]["properties"]["scheduler"]

    words = ["none", "sha", "asha", "hyperband", "median", "plateau", "pbt"]
    assert {"enum": words} in scheduler["anyOf"]


def test_a_word_for_start_from_is_an_earlier_search():
    tune = load(start_from="digits/20261129T193230-5872f0").tune

    assert (tune.start_from.search, tune.start_from.num_best) == (
        "digits/20261129T193230-5872f0",
        5,
    )
    assert tune.points == []


def test_points_of_start_from_stay_a_list():
    assert load(start_from=[{"train.optimizer.lr": 0.01}]).tune.points == [
        {"train.optimizer.lr": 0.01}
    ]


def test_an_earlier_search_stays_as_written_when_it_is_loaded_again():
    settings = load(start_from={"search": "a", "num_best": 2})

    assert settings_from_dict(settings).tune == settings.tune


def test_a_default_number_of_trials_is_that_of_settings_times_seeds():
    assert load(num_seeds=3).tune.num_trials == 60
    grid = {"train.optimizer.lr": {"grid": [0.1, 0.01]}}
    assert load(num_seeds=3, search_alg="grid", space=grid).tune.num_trials == 6

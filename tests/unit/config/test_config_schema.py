import json

import pytest

from distrain.config.load import settings_from_dict
from distrain.config.schema import KINDS, Argument, json_schema, list_entries
from distrain.errors import ConfigError

jsonschema = pytest.importorskip("jsonschema")
DATA = {"source": "a.csv", "target": "y"}

ACCEPTED = [
    {"data": DATA},
    {"data": DATA, "model": "linear"},
    {"data": DATA, "model": "my_package.nets:Net"},
    {"data": DATA, "model": {"hidden": [8]}},
    {"data": DATA, "model": {"name": "cnn", "channels": [8]}},
    {"data": DATA, "model": {"target": "a:B", "args": {"any": [1, {"x": None}]}}},
    {"data": DATA, "model": {"name": "mlp", "init_from": "models:/a@champion"}},
    {"data": DATA, "model": {"target": "a:B", "init_from": {"source": "a/1", "anew": ["head.*"]}}},
    {"data": DATA, "train": {"freeze": ["encoder.*"], "lr_by_name": {"head.*": 0.1}}},
    {"data": {**DATA, "features": {"id": "id", "age": {"scale": "log"}}}},
    {"data": {**DATA, "labels": {"a": 1}, "read": {"na_values": ["?", -999]}}},
    {"data": DATA, "train": {"optimizer": "sgd", "lr_schedule": {"warmup_steps": 3}}},
    {"data": DATA, "train": {"optimizer": {"lr": 0.1}, "loss": {"delta": 2}}},
    {"data": DATA, "train": {"loss": None, "num_workers": "auto"}},
    {"data": DATA, "track": {"register": {"alias": "champion"}}, "cluster": {"env": {"A": 1}}},
    {"data": DATA, "evaluate": {"goals": {"test/loss": "< 1"}, "metrics": ["f1"]}},
]
REFUSED = [
    {},
    {"data": {"source": "a.csv"}},
    {"data": DATA, "epochs": 3},
    {"data": DATA, "model": {"name": "mlp", "init_from": {"anew": ["head.*"]}}},
    {"data": DATA, "model": {"name": "mlp", "init_from": {"source": "a/1", "sha256": "abc"}}},
    {"data": DATA, "train": {"lr_by_name": {"head.*": 0}}},
    {"data": DATA, "model": "mpl"},
    {"data": DATA, "model": {"name": "linear", "hidden": [8]}},
    {"data": DATA, "train": {"optimizer": {"name": "sgd", "betas": [0.9, 0.9]}}},
    {"data": DATA, "train": {"epochs": 0}},
    {"data": {**DATA, "features": {"id": "identity"}}},
    {"data": DATA, "evaluate": {"goals": {"test/loss": "low"}}},
]


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize("values", ACCEPTED, ids=json.dumps)
def test_the_schema_accepts_what_loads(validator, values):
    settings_from_dict(values)

    assert validator.is_valid(values)


@pytest.mark.parametrize("values", REFUSED, ids=json.dumps)
def test_the_schema_refuses_what_does_not_load(validator, values):
    with pytest.raises(ConfigError):
        settings_from_dict(values)

    assert not validator.is_valid(values)


def test_the_schema_can_be_written_and_names_its_draft():
    schema = json.loads(json.dumps(json_schema()))

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "distrain configuration"
    assert schema["required"] == ["data"]


def test_every_key_is_described():
    schema = json_schema()

    undescribed = [
        f"{name}.{key}"
        for name, section in {"": schema, **schema["$defs"]}.items()
        for key, value in section["properties"].items()
        if not value.get("description")
    ]

    assert undescribed == []


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("models", ["linear", "mlp", "cnn"]),
        ("optimizers", ["sgd", "adam", "adamw", "rmsprop"]),
        ("losses", ["cross_entropy", "mse", "mae", "huber"]),
        ("lr_schedules", ["constant", "step", "cosine", "one_cycle"]),
    ],
)
def test_what_can_be_chosen_is_listed(kind, names):
    assert [entry.name for entry in list_entries(kind)] == names


def test_an_entry_tells_its_arguments():
    sgd = list_entries("optimizers")[0]

    assert sgd.summary == "Stochastic gradient descent."
    assert sgd.arguments[:2] == (
        Argument("lr", "a number above 0", 0.01, "Learning rate."),
        Argument("momentum", "a number from 0 to below 1", 0.9, "Momentum."),
    )
    assert [argument.shown for argument in sgd.arguments[1:3]] == [
        "momentum [0.9]",
        "nesterov [false]",
    ]
    assert sgd.to_json()["arguments"][2] == {
        "name": "nesterov",
        "type": "true or false",
        "default": False,
        "description": "Whether momentum is Nesterov's.",
    }


def test_a_metric_tells_its_task_and_direction():
    summaries = {entry.name: entry.summary for entry in list_entries("metrics")}

    assert summaries["rmse"] == (
        "Root of the mean squared error, in the target's unit. "
        "(regression; less is better; computed by default)"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_has_a_summary_and_plain_values(kind):
    entries = [json.loads(json.dumps(entry.to_json())) for entry in list_entries(kind)]

    assert entries
    assert all(entry["summary"] for entry in entries)


def test_an_unknown_kind_is_told():
    with pytest.raises(ConfigError) as caught:
        list_entries("optimisers")

    assert str(caught.value) == (
        "distrain list: 'optimisers' cannot be listed. Expected a kind of names that a "
        "configuration may use. Did you mean 'optimizers'? There are: losses, lr_schedules, "
        "metrics, models, optimizers, schedulers, search_algs."
    )

"""The space: an assignment becomes the configuration that would have been written for it."""

import pytest

from distrain.config.load import settings_from_dict
from distrain.errors import ConfigError
from distrain.tune.space import Space

DATA = {"source": "a.csv", "target": "y"}
LR = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}


def load(space=None, sections=None, **tune):
    return settings_from_dict(
        {"data": DATA, **(sections or {}), "tune": {"space": space or LR, **tune}}
    )


def space_and_base(*given, **tune):
    base = load(*given, **tune)
    return Space.of(base), base


@pytest.mark.parametrize(
    ("assignment", "written"),
    [
        ({"train.optimizer.lr": 0.02}, {"train": {"optimizer": {"lr": 0.02}}}),
        ({"seed": 7, "model.hidden": [8]}, {"seed": 7, "model": {"hidden": [8]}}),
        ({"model.name": "cnn"}, {"model": "cnn"}),
        ({"model": "linear"}, {"model": "linear"}),
        (
            {"train.optimizer.momentum": 0.5, "train.optimizer.name": "sgd"},
            {"train": {"optimizer": {"name": "sgd", "momentum": 0.5}}},
        ),
        (
            {"train.optimizer.lr": 0.3, "train.optimizer": {"name": "sgd", "momentum": 0.5}},
            {"train": {"optimizer": {"name": "sgd", "momentum": 0.5, "lr": 0.3}}},
        ),
        ({"train.lr_schedule": "cosine"}, {"train": {"lr_schedule": "cosine"}}),
        ({"train.gradient_clip_norm": None}, {}),
        ({"train.ema.decay": 0.9}, {"train": {"ema": {"decay": 0.9}}}),
        ({"train.loss": "cross_entropy"}, {"train": {"loss": "cross_entropy"}}),
    ],
)
def test_a_trial_is_what_would_have_been_written(assignment, written):
    space, base = space_and_base()

    settings = space.settings_of(base, assignment)

    assert settings == settings_from_dict({"data": DATA, **written})


def test_a_length_in_steps_takes_the_place_of_epochs():
    space, base = space_and_base()

    settings = space.settings_of(base, {"train.steps": 10})

    assert (settings.train.steps, settings.train.epochs) == (10, None)
    assert base.train.epochs == 20


def test_a_list_is_replaced_and_not_merged():
    space, base = space_and_base({"model.hidden": {"choice": [[1], [2]]}})

    assert space.settings_of(base, {"model.hidden": [1]}).model.hidden == [1]
    assert base.model.hidden == [256, 256]


def test_a_trial_has_no_search():
    space, base = space_and_base()

    assert space.settings_of(base, {}).tune is None


def test_values_that_make_no_configuration_are_told():
    space, base = space_and_base()

    with pytest.raises(ConfigError, match=r"global_batch_size = 66 cannot be cut"):
        space.settings_of(base, {"train.global_batch_size": 66})
    with pytest.raises(ConfigError, match=r"model\.dropout is 2"):
        space.settings_of(base, {"model.dropout": 2})


def test_a_reloaded_configuration_gives_the_same_trials(tmp_path):
    from distrain.config.digest import dump_yaml
    from distrain.config.load import load_settings

    space, base = space_and_base({"train.optimizer.name": {"choice": ["adamw", "sgd"]}})
    file = tmp_path / "config.yaml"
    file.write_text(dump_yaml(base), encoding="utf-8")
    again = load_settings([file])

    for name in ("adamw", "sgd"):
        assignment = {"train.optimizer.name": name}
        assert Space.of(again).settings_of(again, assignment) == space.settings_of(base, assignment)


def test_the_first_trial_has_the_values_as_written():
    space, base = space_and_base(
        {
            **LR,
            "model.hidden": {"choice": [[1], [2]]},
            "model.dropout": {"uniform": [0, 0.5], "when": {"model.hidden": [[1]]}},
        },
        {"model": {"hidden": [3]}},
    )

    written = space.as_written(base)

    assert written == {"train.optimizer.lr": 1e-3, "model.hidden": [3]}
    assert space.settings_of(base, written) == base.model_copy(update={"tune": None})


def test_a_key_varies_only_where_its_condition_is_met():
    space, _ = space_and_base(
        {
            "model.dropout": {"uniform": [0, 0.5], "when": {"model.norm": "batch"}},
            "model.norm": {"choice": [None, "batch"], "when": {"model.hidden": [[1], [3]]}},
            "model.hidden": {"choice": [[1], [2]]},
        }
    )

    def at(hidden, norm):
        return space.at({"model.dropout": 0.5, "model.norm": norm, "model.hidden": hidden})

    assert at(0.1, 0.9) == {"model.dropout": 0.25, "model.norm": "batch", "model.hidden": [1]}
    assert [*at(0.1, 0.9)] == ["model.dropout", "model.norm", "model.hidden"]
    assert at(0.1, 0.1) == {"model.norm": None, "model.hidden": [1]}
    assert at(0.9, 0.9) == {"model.hidden": [2]}


def test_each_point_of_a_grid_comes_once():
    space, _ = space_and_base(
        {
            "model.norm": {"grid": [None, "batch"]},
            "model.dropout": {"grid": [0.1, 0.2], "when": {"model.norm": "batch"}},
            "seed": {"randint": [0, 2]},
        }
    )

    assert [tuple(point.values()) for point in space.points()] == [
        (None, 0),
        (None, 1),
        ("batch", 0.1, 0),
        ("batch", 0.1, 1),
        ("batch", 0.2, 0),
        ("batch", 0.2, 1),
    ]
    assert space.num_points == 8


def test_constraints_look_at_resolved_values():
    space, base = space_and_base(constraints=["train.optimizer.lr < train.optimizer.weight_decay"])

    allowed = [
        space.is_allowed(space.settings_of(base, {"train.optimizer.lr": lr})) for lr in (1e-3, 0.05)
    ]

    assert allowed == [True, False]
    assert space.allows({"train.optimizer.lr": 1e-3})
    assert not space.allows({"train.optimizer.lr": -1})


def test_a_configuration_without_a_search_has_no_space():
    with pytest.raises(ConfigError, match="the configuration has no search"):
        Space.of(settings_from_dict({"data": DATA}))


def test_whole_numbers_are_floats_where_the_configuration_has_floats():
    space, _ = space_and_base(
        {"train.optimizer.lr": {"grid": [1, 0.1]}, "train.global_batch_size": {"grid": [64]}},
        search_alg="grid",
    )

    [first, _] = [dict(point) for point in space.points()]

    assert {key: repr(value) for key, value in first.items()} == {
        "train.optimizer.lr": "1.0",
        "train.global_batch_size": "64",
    }

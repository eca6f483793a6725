import pytest

from distrain.config.defaults import computed_metrics, metric_name, resolve_defaults, stated_task
from distrain.config.load import settings_from_dict
from distrain.config.names import METRICS, default_metrics, metric_mode, metric_names
from distrain.config.settings import MetricTarget
from distrain.config.train import CheckpointSettings, EarlyStoppingSettings


def load(*, data=None, **sections):
    return settings_from_dict(
        {"data": {"source": "a.csv", "target": "y", **(data or {})}} | sections
    )


def test_a_run_of_open_length_has_20_epochs_and_stops_early():
    train = load().train

    assert train.epochs == 20
    assert train.steps is None
    assert train.early_stopping == EarlyStoppingSettings(
        metric="validation/loss", mode="min", patience=5
    )


@pytest.mark.parametrize("train", [{"epochs": 3}, {"steps": 30}])
def test_a_run_of_stated_length_does_not_stop_early(train):
    settings = load(train=train)

    assert settings.train.early_stopping is None
    assert {"epochs": settings.train.epochs, "steps": settings.train.steps} == (
        {"epochs": None, "steps": None} | train
    )


@pytest.mark.parametrize(
    ("files", "model"),
    [
        (["cat/a.png", "dog/b.JPG", "notes.md", ".kept/a.csv"], "cnn"),
        (["cat/a.png", "labels.csv"], "mlp"),
        (["notes.md"], "mlp"),
    ],
)
def test_a_folder_of_images_alone_has_a_cnn(tmp_path, files, model):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    folder = {"source": str(tmp_path)}

    assert load(data=folder).model.name == model
    assert load(data=folder, model={"name": "linear"}).model.name == "linear"
    assert load(data={**folder, "format": "csv"}).model.name == "mlp"


def test_early_stopping_can_be_refused():
    train = load(train={"early_stopping": None}).train

    assert (train.epochs, train.early_stopping) == (20, None)


def test_without_a_validation_split_nothing_is_stopped_or_restored():
    train = load(data={"split": {"validation": 0}}).train

    assert (train.epochs, train.early_stopping, train.restore_best) == (20, None, False)


def test_a_fixed_split_is_taken_to_have_its_own_parts():
    data = {"split": {"kind": "fixed", "column": "part", "validation": 0}}

    settings = load(data=data, evaluate={"goals": {"test/loss": "< 1"}})

    assert settings.train.restore_best is True
    assert settings.data.split.test == 0.0


@pytest.mark.parametrize(
    ("metric", "mode"),
    [("validation/accuracy", "max"), ("validation/loss", "min"), ("train/loss", "min")],
)
def test_the_direction_follows_the_metric(metric, mode):
    settings = load(train={"early_stopping": {"metric": metric}})

    assert settings.train.early_stopping.mode == mode


def test_the_direction_that_is_given_stays():
    settings = load(train={"early_stopping": {"metric": "validation/loss", "mode": "max"}})

    assert settings.train.early_stopping.mode == "max"


@pytest.mark.parametrize(
    ("data", "fraction"),
    [({}, 0.1), ({"test_source": "b.csv"}, 0.0), ({"split": {"test": 0.3}}, 0.3)],
)
def test_the_test_fraction_is_a_tenth_unless_there_is_a_holdout(data, fraction):
    assert load(data=data).data.split.test == fraction


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ({}, {"every_s": 60.0, "keep": 3}),
        ({"keep": 1}, {"every_s": 60.0, "keep": 1}),
        ({"every_steps": 5}, {"every_steps": 5, "keep": 3}),
        ({"every_s": 2}, {"every_s": 2.0, "keep": 3}),
    ],
)
def test_checkpoints_come_every_minute_unless_said_otherwise(given, resolved):
    settings = load(train={"checkpoint": given})

    assert settings.train.checkpoint == CheckpointSettings(**resolved)


def test_evaluation_comes_every_epoch_unless_said_otherwise():
    assert load().evaluate.every_epochs == 1
    assert load(evaluate={"every_steps": 7}).evaluate.every_epochs is None


def test_resolving_again_changes_nothing():
    settings = load(train={"early_stopping": None})

    assert resolve_defaults(settings) == settings


@pytest.mark.parametrize(
    ("data", "task"),
    [
        ({}, None),
        ({"task": "regression"}, "regression"),
        ({"source": "sklearn:iris"}, "classification"),
        ({"source": "sklearn:diabetes"}, "regression"),
        ({"source": {"idx": {"images": "i", "labels": "l"}}}, "classification"),
        ({"target": ["a", "b"]}, "regression"),
        ({"target": ["a"]}, None),
        ({"split": {"kind": "stratified"}}, "classification"),
    ],
)
def test_the_task_is_known_as_far_as_it_is_stated(data, task):
    assert stated_task(load(data=data))[0] == task


def test_the_metrics_of_a_task_are_those_of_the_contract():
    assert default_metrics("classification") == ["loss", "accuracy", "f1", "roc_auc"]
    assert default_metrics("regression") == ["loss", "rmse", "mae", "r2"]
    assert metric_names("regression") == ["loss", "mse", "rmse", "mae", "r2"]
    assert set(metric_names(None)) == set(METRICS)


def test_the_loss_is_always_computed():
    settings = load(evaluate={"metrics": ["accuracy", {"target": "my.scores:cost"}]})

    assert computed_metrics(settings) == ["loss", "accuracy", "cost"]


def test_an_own_metric_is_named_after_its_function():
    assert metric_name(MetricTarget(target="my.scores:Class.cost")) == "cost"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("rmse", "min"),
        ("test/r2", "max"),
        ("model/num_parameters", "min"),
        ("samples_per_second", "max"),
        ("validation/cost", None),
    ],
)
def test_a_metric_knows_its_direction(name, mode):
    assert metric_mode(name) == mode

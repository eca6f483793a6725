import subprocess
import sys
from pathlib import Path

import pytest

from distrain.config.load import load_settings, settings_from_dict
from distrain.config.model import CnnSettings, MlpSettings, TargetSettings
from distrain.config.train import (
    AdamWSettings,
    ConstantSchedule,
    CosineSchedule,
    CrossEntropySettings,
    HuberSettings,
    SgdSettings,
)
from distrain.errors import ConfigError

LEAST = {"data": {"source": "a.csv", "target": "y"}}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="run.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    return write


def with_data(**data):
    return {"data": {**LEAST["data"], **data}}


def test_source_and_target_are_enough(write):
    path = write("data: {source: adult.csv, target: income}\n", "adult-income.yaml")

    settings = load_settings([path])

    assert settings.name == "adult-income"
    assert settings.data.target == "income"
    assert settings.model == MlpSettings(name="mlp")
    assert settings.train.optimizer == AdamWSettings(name="adamw")


def test_the_later_file_wins_and_mappings_are_merged(write):
    first = write("data: {source: a.csv, target: y}\nmodel: {hidden: [8, 8], dropout: 0.5}\n")
    second = write("model: {hidden: [4]}\ntrain: {epochs: 3}\n", "second.yaml")

    settings = load_settings([first, second])

    assert settings.model == MlpSettings(name="mlp", hidden=[4], dropout=0.5)
    assert settings.train.epochs == 3
    assert settings.name == "run"


def test_overrides_win_over_files_and_the_last_over_the_first(write):
    path = write("data: {source: a.csv, target: y}\ntrain: {epochs: 3}\n")

    settings = load_settings(
        [path], ["train.epochs=4", "train.optimizer.lr=1e-2", "train.epochs=5"]
    )

    assert settings.train.epochs == 5
    assert settings.train.optimizer == AdamWSettings(name="adamw", lr=0.01)


def test_an_override_can_hold_equals_signs_and_a_slash():
    settings = settings_from_dict(LEAST, ["evaluate.goals.test/accuracy=>= 0.85"])

    assert settings.evaluate.goals == {"test/accuracy": ">= 0.85"}


def test_a_mapping_as_override_is_merged_and_a_word_replaces():
    values = {**LEAST, "train": {"optimizer": {"name": "adamw", "betas": [0.8, 0.9]}}}

    merged = settings_from_dict(values, ["train.optimizer={lr: 0.1}"]).train.optimizer
    replaced = settings_from_dict(values, ["train.optimizer=sgd"]).train.optimizer

    assert merged == AdamWSettings(name="adamw", betas=(0.8, 0.9), lr=0.1)
    assert replaced == SgdSettings(name="sgd")


def test_null_takes_a_value_of_an_earlier_file_away():
    values = {**LEAST, "train": {"epochs": 3, "early_stopping": {"patience": 2}}}

    settings = settings_from_dict(values, ["train.early_stopping=null"])

    assert settings.train.early_stopping is None


def test_words_stand_for_the_name_and_for_the_kind_of_a_column():
    values = with_data(features={"id": "id", "age": {"scale": "log"}})
    values |= {"model": "linear", "train": {"loss": "huber", "lr_schedule": "cosine"}}

    settings = settings_from_dict(values, ["train.optimizer=rmsprop"])

    assert settings.model.model_dump() == {"name": "linear", "init_from": None}
    assert settings.train.loss == HuberSettings(name="huber")
    assert settings.train.lr_schedule == CosineSchedule(name="cosine")
    assert settings.train.optimizer.name == "rmsprop"
    assert settings.data.features["id"].kind == "id"
    assert settings.data.features["age"].kind is None


def test_a_word_with_a_colon_is_the_users_own():
    settings = settings_from_dict({**LEAST, "model": "my_package.net:Net"})

    assert settings.model == TargetSettings(target="my_package.net:Net")


def test_the_users_own_model_replaces_a_built_in_one_of_an_earlier_file():
    values = {**LEAST, "model": {"name": "mlp", "hidden": [8]}}

    settings = settings_from_dict(values, ["model={target: net:Net, args: {width: 3}}"])

    assert settings.model == TargetSettings(target="net:Net", args={"width": 3})


@pytest.mark.parametrize(
    ("data", "family"),
    [
        ({"source": "sklearn:digits"}, CnnSettings),
        ({"source": {"idx": {"images": "i", "labels": "l"}}, "target": "label"}, CnnSettings),
        ({"source": "images", "format": "idx"}, CnnSettings),
        ({"source": "sklearn:breast_cancer"}, MlpSettings),
        ({"source": ["a.csv", "b.csv"]}, MlpSettings),
    ],
)
def test_the_model_is_chosen_by_the_kind_of_data(data, family):
    settings = settings_from_dict({**with_data(**data), "model": {"hidden": [16]}})

    assert isinstance(settings.model, family)
    assert settings.model.hidden == [16]


@pytest.mark.parametrize(
    ("train", "loss"),
    [
        ({"loss": {"label_smoothing": 0.1}}, CrossEntropySettings),
        ({"loss": {"delta": 2.0}}, HuberSettings),
    ],
)
def test_the_name_of_a_loss_may_be_left_out_where_its_arguments_tell(train, loss):
    assert isinstance(settings_from_dict({**LEAST, "train": train}).train.loss, loss)


def test_a_schedule_without_a_name_is_constant():
    settings = settings_from_dict({**LEAST, "train": {"lr_schedule": {"warmup_steps": 5}}})

    assert settings.train.lr_schedule == ConstantSchedule(name="constant", warmup_steps=5)


def test_an_empty_section_has_its_defaults(write):
    path = write("data: {source: a.csv, target: y}\nmodel:\ntrain:\ntrack:\n")

    assert load_settings([path]) == load_settings([path], ["train={}"])


def test_paths_are_relative_to_the_file_that_names_them(write, tmp_path):
    path = write(
        "storage: out\n"
        "data:\n"
        "  source: [a.csv, ../b/*.csv, s3://bucket/c.csv, /d.csv]\n"
        "  test_source: {idx: {images: i.gz, labels: l.gz}}\n"
        "  target: y\n"
        "  cache: {path: cache}\n",
        "conf/run.yaml",
    )

    settings = load_settings([path])

    there = tmp_path / "conf"
    assert settings.storage == f"{tmp_path}/out"
    assert settings.data.source == [
        f"{there}/a.csv",
        f"{tmp_path}/b/*.csv",
        "s3://bucket/c.csv",
        "/d.csv",
    ]
    assert settings.data.test_source.idx.images == f"{there}/i.gz"
    assert settings.data.cache.path == f"{there}/cache"


def test_paths_on_the_command_line_are_relative_to_the_working_directory(write, tmp_path):
    first = write("data: {source: a.csv, target: y}\n", "one/run.yaml")
    second = write("data: {test_source: b.csv}\n", "two/test.yaml")

    settings = load_settings([first, second], ["data.cache.path=cache", "storage=out"])

    assert settings.data.source == f"{tmp_path}/one/a.csv"
    assert settings.data.test_source == f"{tmp_path}/two/b.csv"
    assert settings.data.cache.path == f"{tmp_path}/cache"
    assert settings.storage == f"{tmp_path}/out"


def test_variables_in_paths_stay_as_they_are_written(write, tmp_path, monkeypatch):
    monkeypatch.setenv("ABSOLUTE", "/data")
    monkeypatch.setenv("RELATIVE", "data")
    path = write(
        'data: {source: ["${ABSOLUTE}/a.csv", "${RELATIVE}/b.csv", "${NO:-s3://x}/c"], target: y}'
    )

    settings = load_settings([path])

    assert settings.data.source == [
        "${ABSOLUTE}/a.csv",
        f"{tmp_path}/${{RELATIVE}}/b.csv",
        "${NO:-s3://x}/c",
    ]


@pytest.mark.parametrize(
    ("stem", "name"),
    [("adult", "adult"), ("my run (2)", "my-run-2"), ("_x_", "x"), ("größe", "gr-e"), ("-", "run")],
)
def test_a_run_is_named_after_its_file_in_allowed_characters(write, stem, name):
    path = write("data: {source: a.csv, target: y}\n", f"{stem}.yaml")

    assert load_settings([path]).name == name


def test_python_values_are_taken_as_a_file_would_hold_them(tmp_path, monkeypatch):
    np = pytest.importorskip("numpy")
    monkeypatch.chdir(tmp_path)
    values = {
        "data": {"source": Path("a.csv"), "target": "y", "labels": {0: "no", True: "yes"}},
        "train": {"epochs": np.int64(3), "optimizer": SgdSettings(name="sgd", lr=0.1)},
        "model": {"hidden": (8, 8)},
    }

    settings = settings_from_dict(values)

    assert settings.data.source == f"{tmp_path}/a.csv"
    assert settings.data.labels == {"0": "no", "true": "yes"}
    assert settings.train.epochs == 3
    assert settings.train.optimizer == SgdSettings(name="sgd", lr=0.1)
    assert settings.model.hidden == [8, 8]


def test_settings_can_be_changed_by_overrides():
    settings = settings_from_dict(LEAST)

    assert settings_from_dict(settings) == settings
    assert settings_from_dict(settings, ["seed=3"]).seed == 3


def test_the_callers_mapping_is_left_alone():
    values = {"data": {"source": "a.csv", "target": "y", "features": {"id": "id"}}}

    settings_from_dict(values, ["data.source=b.csv"])

    assert values == {"data": {"source": "a.csv", "target": "y", "features": {"id": "id"}}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {**LEAST, "model": {"target": "a:B", "args": {"act": print}}},
            "model.args.act is of type builtin_function_or_method. Expected what a file can hold: "
            "text, a number, a boolean, a list or a mapping.",
        ),
        ([], "the configuration is a list. Expected a mapping."),
        (
            {"data": {"source": "a.csv", "target": "y"}, "seed": -1},
            "seed is -1. Expected a whole number from 0 to 9223372036854775807.",
        ),
    ],
)
def test_a_fault_in_python_values_names_no_file(values, message):
    with pytest.raises(ConfigError) as caught:
        settings_from_dict(values)

    assert str(caught.value) == message
    assert caught.value.where == ""


def test_no_file_at_all_is_told():
    with pytest.raises(ConfigError, match="no configuration file was given"):
        load_settings([])


def test_loading_imports_nothing_heavy():
    heavy = ("ray", "torch", "mlflow", "pandas", "pyarrow", "numpy", "sklearn", "rich", "typer")
    code = (
        "import sys, distrain.config.load, distrain.config.schema, distrain.config.digest; "
        f"print(*[name for name in {heavy} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []

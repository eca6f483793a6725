import pytest

from distrain.track import describe

CONFIG = {
    "name": "adult",
    "seed": 7,
    "storage": "./runs",
    "data": {"source": ["a.csv", "b.csv"], "target": "income", "read": {"header": False}},
    "model": {"name": "mlp", "hidden": [256, 256], "norm": None, "residual": False},
    "train": {
        "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.999]},
        "checkpoint": {"every_s": 60.0},
        "num_workers": 2,
    },
    "track": {"every_steps": 10},
}
MANIFEST = {
    "digest": "ab" * 32,
    "splits": {"train": {"num_rows": 90}, "validation": {"num_rows": 10}, "test": {"num_rows": 0}},
    "sources": [{"uri": "/data/a.csv"}],
    "columns": {"x": {"dtype": "float32", "shape": [3]}},
    "transform": {"column_types": {"age": "int64", "born": "date32[day]", "picture": "image"}},
}


def test_params_are_what_defines_the_run_each_formatted_once() -> None:
    assert describe.run_params(CONFIG) == {
        "seed": "7",
        "data.source": '["a.csv", "b.csv"]',
        "data.target": "income",
        "model.name": "mlp",
        "model.hidden": "[256, 256]",
        "model.residual": "false",
        "train.optimizer.name": "adamw",
        "train.optimizer.lr": "0.001",
        "train.optimizer.betas": "[0.9, 0.999]",
        "train.num_workers": "2",
    }


def test_a_trial_s_params_are_those_of_its_whole_configuration() -> None:
    whole = {
        "seed": 3,
        "model": {"hidden": [128, 64], "dropout": None},
        "train": {"optimizer": {"name": "sgd", "lr": 1e-05}, "epochs": 4},
        "track": {"every_steps": 5},
    }
    assignment = {
        "seed": 3,
        "model.hidden": [128, 64],
        "model.dropout": None,
        "train.optimizer": {"name": "sgd", "lr": 1e-05},
    }
    params = describe.assignment_params(assignment)
    assert params == {
        "seed": "3",
        "model.hidden": "[128, 64]",
        "train.optimizer.name": "sgd",
        "train.optimizer.lr": "1e-05",
    }
    assert params.items() <= describe.run_params(whole).items()


def test_a_table_with_names_that_mlflow_refuses_is_one_param() -> None:
    weights = {">50K": 2.0, "<=50K": 1.0}
    params = describe.run_params({"train": {"loss": {"class_weights": weights}}})
    assert params == {"train.loss.class_weights": '{">50K": 2.0, "<=50K": 1.0}'}


def test_long_params_are_cut_visibly() -> None:
    params = describe.run_params({"data": {"source": ["x" * 50] * 40}})
    assert len(params["data.source"]) == describe.MAX_PARAM_LENGTH
    assert params["data.source"].endswith("... (2,160 characters, all of them in config.yaml)")


def test_dataset_facts_leave_empty_splits_out() -> None:
    facts = describe.dataset_facts("adult", MANIFEST)
    assert facts["splits"] == {"train": 90, "validation": 10}
    assert facts["schema"] == {"age": "long", "born": "datetime", "picture": "string"}
    assert facts["sources"] == ["/data/a.csv"]


@pytest.mark.parametrize(
    ("arrow", "type_"),
    [("double", "double"), ("bool", "boolean"), ("timestamp[us]", "datetime"), ("json", "string")],
)
def test_column_types_have_mlflows_names(arrow: str, type_: str) -> None:
    assert describe.column_type(arrow) == type_


def test_a_note_lists_facts_and_tabulates_metrics_by_split() -> None:
    metrics = {"train/loss": 0.25, "test/loss": 0.5, "test/accuracy": 0.875, "other": 1.0}
    note = describe.run_note({"Data": "adult.csv", "Model": ""}, metrics)
    assert note.splitlines() == [
        "**Data**: adult.csv  ",
        "",
        "| metric | train | test |",
        "|---|---:|---:|",
        "| loss | 0.25 | 0.5 |",
        "| accuracy |  | 0.875 |",
    ]


def test_a_metric_s_name_breaks_no_table() -> None:
    assert "| top\\_5\\|x | 1 |" in describe.metric_table({"test/top_5|x": 1.0})


def test_a_note_without_metrics_has_no_table() -> None:
    assert describe.run_note({"Data": "adult.csv"}) == "**Data**: adult.csv"


def test_a_version_says_where_it_comes_from_and_how_it_is_used() -> None:
    tags = {
        "distrain.data.sha256": "ab",
        "distrain.code.commit": "c0ffee",
        "distrain.code.dirty": "true",
        "distrain.seed": "0",
    }
    note = describe.version_note("adult", tags, {"test/accuracy": 0.875})
    assert "**Commit**: c0ffee with changes" in note
    assert "**Configuration**" not in note
    assert "| accuracy | 0.875 |" in note
    assert 'mlflow.pyfunc.load_model("models:/adult/latest")' in note

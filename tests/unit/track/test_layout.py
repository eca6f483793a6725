import pytest

from distrain.config.tune import TuneSettings
from distrain.track.layout import SearchLayout, layout_in, primary_metric_tags, words_of_end

LAYOUT = SearchLayout(
    "validation/accuracy",
    "max",
    ("train.optimizer.lr", "model.hidden"),
    ("model.dropout",),
    ("train.optimizer.lr",),
    gpus_per_trial=2.0,
)


def test_a_layout_is_that_of_the_space() -> None:
    space = {
        "train.optimizer.lr": {"loguniform": [1e-4, 1e-1]},
        "model.hidden": {"choice": [[8], [32]]},
        "model.dropout": {"uniform": [0, 0.5], "when": {"model.name": "mlp"}},
    }
    tune = TuneSettings.model_validate(
        {"metric": "validation/accuracy", "mode": "max", "space": space}
    )

    assert SearchLayout.of(tune, gpus_per_trial=2.0) == LAYOUT


def test_a_layout_is_read_back_from_a_journal() -> None:
    assert layout_in({"key": "a/b", "search": LAYOUT.to_json()}) == LAYOUT
    assert layout_in({"key": "a/b"}) is None


def test_what_varies_in_its_logarithm_has_a_copy_in_it() -> None:
    assert LAYOUT.logarithms({"train.optimizer.lr": 0.001, "model.hidden": [8]}) == {
        "log10.train.optimizer.lr": "-3.0"
    }
    assert LAYOUT.logarithms({"model.hidden": [8]}) == {}
    assert LAYOUT.axes == ("log10.train.optimizer.lr", "model.hidden")


@pytest.mark.parametrize(("is_whole", "score"), [(True, {"search/score": 0.75}), (False, {})])
def test_a_trial_that_was_stopped_has_costs_and_no_score(
    is_whole: bool, score: dict[str, float]
) -> None:
    ended = {"metrics": {"validation/accuracy": 0.75}, "epoch": 4, "train_s": 1800.0}

    assert LAYOUT.summary(ended, is_whole=is_whole) == {
        **score,
        "search/epochs": 4.0,
        "search/train_s": 1800.0,
        "search/gpu_hours": 1.0,
    }


def test_an_experiment_says_what_counts_in_it() -> None:
    assert primary_metric_tags(LAYOUT) == {
        "mlflow.experiment.primaryMetric.name": "validation/accuracy",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "true",
    }


def test_why_a_trial_ended_is_told_in_one_line() -> None:
    error = {"message": "no such thing\nand a traceback"}

    assert words_of_end("failed", error) == "It failed: no such thing"
    assert words_of_end("finished", None) == ""
    assert "without a verdict of its own" in words_of_end("stopped", None)

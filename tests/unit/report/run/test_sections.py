"""Single sections of a run's report: money, machines, the run before, what is in order."""

from dataclasses import replace
from pathlib import Path

import pytest

from distrain.past.clock import Spent, TimeSplit
from distrain.report.run.changes import changes_section
from distrain.report.run.dataset import checks
from distrain.report.run.load import load_section, node_loads
from distrain.report.run.origin import card_section
from distrain.report.run.spent import run_cost, run_gpu_hours, time_section
from distrain.report.run.view import RunView, view_run
from distrain.report.run.wrong import ClassScore, wrong_section
from tests.reported_run import CONFIG, MANIFEST, write_run

HOUR_S = 3600.0


@pytest.fixture
def run(tmp_path: Path) -> RunView:
    return view_run(write_run(tmp_path / "pets" / "20261130T120000-aaaaaa"))


def on_gpus(run: RunView) -> RunView:
    """The same run, two hours of two workers with a GPU each, and one of getting ready."""
    parts = (
        Spent("ready", HOUR_S, 2 * HOUR_S),
        Spent("compute", 1.5 * HOUR_S, 3 * HOUR_S),
        Spent("other", 0.5 * HOUR_S, HOUR_S),
    )
    split = TimeSplit(3 * HOUR_S, 6 * HOUR_S, parts, 90.0)
    return replace(run, machine={"device": "cuda", "gpus": ["H200"]}, time=split)


def test_gpus_cost_what_they_were_held_for(run: RunView) -> None:
    assert run_gpu_hours(on_gpus(run)) == pytest.approx(4.0)
    assert run_cost(on_gpus(run)) == pytest.approx(10.0)
    section = time_section(on_gpus(run))
    assert section is not None
    assert "4 GPU-hours: 10.00 at 2.5 for a GPU-hour." in section.content.text
    assert "1 min 30 s passed in which nobody drove it" in section.content.text


def test_parts_of_a_gpu_cost_their_part(run: RunView) -> None:
    train = {**run.config["train"], "resources_per_worker": {"gpu": 0.25}}

    assert run_cost(replace(on_gpus(run), config={**run.config, "train": train})) == 2.5


def test_without_gpus_or_a_price_nothing_costs(run: RunView) -> None:
    assert run_cost(run) is None
    assert run_cost(replace(on_gpus(run), config={})) is None


def test_nodes_are_told_by_number_with_their_gpus(run: RunView) -> None:
    run.story.system["system/node_1/gpu_0_utilization_percentage"] = [(5_000, 80.0), (6_000, 90.0)]
    run.story.system["system/node_1/gpu_0_memory_usage_percentage"] = [(5_000, 30.0), (6_000, 45.0)]
    run.story.tags["distrain.node.1"] = "far, 1 x H200"

    first, second = node_loads(run)

    assert (first.number, first.name) == (0, "desk")
    assert first.values("cpu_utilization_percentage") == [40.0, 60.0]
    assert second.name == "far, 1 x H200"
    section = load_section(run)
    assert section is not None
    assert "85 %" in section.content.text
    assert "45 %" in section.content.text


def test_what_changed_is_told_with_the_command_that_tells_it_of_any_other_run(
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "pets" / "20261130T100000-aaaaaa", config=CONFIG.replace("5", "6", 1))
    now = view_run(write_run(tmp_path / "pets" / "20261130T120000-aaaaaa"))

    section = changes_section(now)

    assert section is not None
    line = f"distrain compare 20261130T100000-aaaaaa 20261130T120000-aaaaaa --storage {tmp_path}"
    assert line in section.content.text
    assert "test/accuracy 0.85 → 0.85" in section.content.text
    assert now.since is not None
    assert [row.values for row in now.since.differences.causes] == [("6", "5")]


def test_without_a_run_before_another_is_to_be_named(run: RunView) -> None:
    section = changes_section(run)

    assert section is not None
    assert f"distrain compare ANOTHER_RUN {run.run} --storage" in section.content.text


def test_what_is_not_in_order_of_the_data_is_told(run: RunView) -> None:
    told = {text: is_good for is_good, text in checks(run.data)}

    assert told["column 'size': 10.0% of the rows have no value"] is False
    assert told["no row repeats another"] is True
    assert told["the source file is known by content (SHA-256), hashed while read"] is True


def test_data_without_a_test_split_is_not_in_order() -> None:
    data = {**MANIFEST, "splits": {"train": {"num_rows": 5}}, "findings": []}

    wrong = [text for is_good, text in checks(data) if not is_good]

    assert wrong == ["there is no test split: how good the model is on new rows is not known"]


def test_a_test_source_with_rows_of_training_is_not_in_order() -> None:
    finding = {
        "kind": "test-rows-in-training",
        "column": None,
        "message": "3 rows of data.test_source are also in the training split",
        "count": 3,
    }
    recipe = {"has_test_source": True, "split": {"seed": 0}}

    wrong = [
        text
        for is_good, text in checks({**MANIFEST, "recipe": recipe, "findings": [finding]})
        if not is_good
    ]

    assert wrong == [finding["message"]]


def test_a_share_of_few_rows_has_the_interval_that_a_comparison_gives_it(run: RunView) -> None:
    section = wrong_section(run)

    assert section is not None
    # Clopper and Pearson, 1934: 17 of 20.
    assert "between 62.1% and 96.8%" in section.content.text


def test_a_model_that_only_a_store_has_is_loaded_by_distrain_alone(run: RunView) -> None:
    assert run.result is not None
    result = replace(run.result, model=None)

    here, at_store = (
        card_section(replace(run, result=result, folder=folder)).content.text
        for folder in ("/runs/pets/r", "s3://bucket/pets/r")
    )

    assert "/runs/pets/r/model/mlflow" in here
    assert "mlflow.pyfunc" not in at_store
    assert "distrain predict s3://bucket/pets/r" in at_store


def test_a_class_that_is_never_said_or_has_no_rows_scores_nothing() -> None:
    score = ClassScore("a", actual=0, predicted=0, right=0)

    assert (score.precision, score.recall, score.f1) == (0.0, 0.0, 0.0)

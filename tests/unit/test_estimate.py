"""What `--dry-run` foretells."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distrain.config.load import settings_from_dict
from distrain.data.checking import SourceSummary
from distrain.data.files import Listing
from distrain.data.prepared import PreparedDataset
from distrain.data.sources import list_source
from distrain.estimate import (
    Timed,
    Where,
    estimate_run,
    timed_steps,
    train_time,
    worker_bytes,
)
from distrain.report.estimate_table import estimate_table
from distrain.train.from_settings import job_from_settings
from distrain.train.job import TrainJob
from distrain.train.placement import Placement
from distrain.train.preflight import Preflight
from distrain.train.setup import set_up
from distrain.train.world import World
from tests.prepared_examples import write_classified

CONFIG: dict[str, Any] = {
    "data": {"source": "a.csv", "target": "label", "task": "classification"},
    "model": {"name": "mlp", "hidden": [8]},
    "train": {"epochs": 9, "global_batch_size": 32},
}
MODEL = Preflight(
    num_parameters=1_000_000,
    largest_block=10_000,
    input_shape=(6,),
    num_outputs=3,
    steps_per_epoch=10,
    total_steps=100,
    shapes={},
)


@pytest.mark.parametrize("num_workers", [2, 4, 8])
def test_a_sharded_run_ends_with_its_share_and_the_whole_model(num_workers: int) -> None:
    job = TrainJob("run", "data", {}, strategy="fsdp", logical_shards=8, restore_best=True)
    # Parameters, two states of AdamW and the best model; all parameters gathered.
    expected = 4 * (4 * 1_000_000 // num_workers + 1_000_000)
    assert worker_bytes(job, MODEL, num_workers) == expected


@pytest.mark.parametrize("num_workers", [2, 4])
def test_a_worker_of_a_sharded_run_keeps_its_share_and_a_block(num_workers: int) -> None:
    job = TrainJob("run", "data", {}, strategy="fsdp", logical_shards=8, restore_best=True)
    # Parameters, gradients, two states of AdamW and the best model; a block comes and goes.
    expected = 4 * (5 * 1_000_000 // num_workers + 4 * 250_000)
    model = replace(MODEL, largest_block=250_000)
    assert worker_bytes(job, model, num_workers) == expected


def test_a_worker_of_a_whole_model_keeps_all_of_it_and_partial_sums() -> None:
    job = TrainJob("run", "data", {}, logical_shards=4, restore_best=True)
    assert worker_bytes(job, MODEL, num_workers=1) == 4 * 1_000_000 * (5 + 2)


ALONE = Where(Placement(1, 1.0, 0.0), "a local Ray", "sqlite")
STEPS = Timed((0.10, 0.12, 0.20), is_on_gpu=False)


def placed(num_workers: int, *, gpu: float = 0.0, room: int | None = None, least: int = 0) -> Where:
    return replace(ALONE, placement=Placement(num_workers, 1.0, gpu, least), num_at_a_time=room)


def test_the_interval_of_one_worker_is_from_its_quickest_step_to_its_slowest() -> None:
    found = train_time(STEPS, 4, 100, ALONE)

    assert (found.low_s, found.mean_s, found.high_s) == pytest.approx((10.0, 14.0, 20.0))
    assert found.how == (
        "from the quickest to the slowest step of 3, 100 to 200 ms on one worker; without start, "
        "evaluation, checkpoints and the exchange between workers"
    )


def test_a_step_lasts_as_long_as_that_of_the_worker_with_most_parts() -> None:
    found = train_time(STEPS, 4, 100, placed(3))

    assert found.mean_s == pytest.approx(14.0 * 2 / 4)


def test_workers_that_share_cores_may_gain_no_more_than_there_are_cores_for() -> None:
    found = train_time(STEPS, 4, 100, placed(4, room=2))

    assert (found.low_s, found.high_s) == pytest.approx((10.0 / 4, 20.0 / 2))
    assert "shared by 4 workers that gain as much as 2 to 4" in found.how


def test_an_elastic_run_may_have_its_fewest_workers_all_the_time() -> None:
    found = train_time(STEPS, 4, 100, placed(4, least=1))

    assert (found.low_s, found.high_s) == pytest.approx((10.0 / 4, 20.0))


def test_what_a_cpu_took_for_a_gpu_is_told() -> None:
    assert (
        "timed on a CPU, though workers have GPUs" in train_time(STEPS, 4, 9, placed(1, gpu=1)).how
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("data")
    return PreparedDataset.open(write_classified(folder / "prepared", {"train": 128}))


@pytest.mark.parametrize(
    ("epochs", "limit_s", "num_timed"),
    [(9, 60.0, 10), (1, 60.0, 1), (9, 0.0, 1)],
    ids=["all of them", "a short run", "slow steps"],
)
def test_so_many_steps_are_timed(
    dataset: PreparedDataset, epochs: int, limit_s: float, num_timed: int
) -> None:
    settings = settings_from_dict(CONFIG | {"train": {"epochs": epochs, "global_batch_size": 32}})
    setup = set_up(job_from_settings(settings, dataset, Path("unused")), World.single("cpu"))

    assert len(timed_steps(setup, limit_s)) == num_timed


def test_a_run_on_prepared_data_has_an_interval_and_where_it_comes_from(
    dataset: PreparedDataset,
) -> None:
    settings = settings_from_dict(CONFIG | {"cluster": {"price_per_gpu_hour": 2.0}})
    source = SourceSummary(("x",), 128, True, (Listing("csv", ()),))

    found = estimate_run(settings, source, dataset, ALONE)
    told = estimate_table(found).__rich__().plain

    assert found.train_s
    assert found.train_s_low
    assert found.train_s_high
    assert 0 < found.train_s_low < found.train_s < found.train_s_high
    assert f"timed      {found.how}" in told
    assert "cost" not in told  # there are no GPUs
    assert {"train_s_low", "train_s_high", "how", "cost"} <= found.to_json().keys()


def source(path: Path, labels: str) -> SourceSummary:
    """Return what a look at a file tells, which is taken for the beginning of a larger one."""
    rows = [f"{n % 50},{labels[n % len(labels)]}" for n in range(1_000)]
    path.write_text("\n".join(["size,label", *rows]) + "\n")
    return SourceSummary(("size", "label"), 100_000, False, (list_source(str(path), None),))


def test_of_data_that_is_not_prepared_the_first_rows_are_timed(tmp_path: Path) -> None:
    summary = source(tmp_path / "a.csv", "xyz")

    found = estimate_run(settings_from_dict(CONFIG), summary, None, ALONE)

    assert found.rows["train"] == 80_000
    assert found.steps == 9 * 2_500
    assert found.num_parameters == 1 * 8 + 8 + 8 * 3 + 3
    assert found.train_s
    assert found.how.endswith("; found out on the first 1,000 rows, the data not being prepared")


def test_where_nothing_can_be_learnt_from_the_first_rows_the_time_is_open(tmp_path: Path) -> None:
    summary = source(tmp_path / "a.csv", "x")

    found = estimate_run(settings_from_dict(CONFIG), summary, None, ALONE)

    assert (found.train_s, found.num_parameters, found.rows["train"]) == (None, None, 80_000)
    assert found.how.startswith("not timed, the data not being prepared: ")

"""How long a search takes, told before it begins."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distrain import search_estimate
from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.data.prepared import PreparedDataset
from distrain.estimates import Estimate, Probe
from distrain.report.estimate_table import estimate_table
from distrain.search_estimate import estimate_of_search, probe_trials, search_time
from distrain.train.placement import ANY_NUMBER, Placement
from distrain.tune.earlier import Earlier
from tests.prepared_examples import write_classified

ONE = Placement(1, 1.0, 0.0)
LR = {"train.optimizer.lr": {"loguniform": [1e-4, 1e-1]}}
WIDTHS = {"model.hidden": {"choice": [[4], [8], [16], [32]]}}
TRIAL = Estimate(
    data="", rows={"train": 100}, steps=80, steps_per_epoch=4, num_parameters=9, placement="",
    worker_bytes=1, train_s=1.0, tracking="",
)  # fmt: skip


def search_of(num_trials: int | None = 16, **tune: Any) -> Settings:
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "label", "task": "classification"},
            "model": {"name": "mlp", "hidden": [8]},
            "train": {"epochs": 20, "global_batch_size": 32},
            "tune": {"num_trials": num_trials, "space": LR, **tune},
        }
    )


def probes_of(*times: float | None) -> list[Probe]:
    return [
        Probe(trial, {}, epoch_s, None if epoch_s is not None else "ValueError: no")
        for trial, epoch_s in enumerate(times)
    ]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("data")
    rows = {"train": 128, "validation": 32, "test": 32}
    return PreparedDataset.open(write_classified(folder / "prepared", rows))


def test_equal_trials_take_what_their_epochs_take() -> None:
    found = search_time(search_of(), probes_of(*[0.5] * 8), 4, replace(ONE, num_workers=2))

    assert found.at_least_s == found.at_most_s == pytest.approx(16 * 20 * 0.5 / 2)


def test_the_interval_is_that_of_a_sum_whose_mean_is_known_from_a_few() -> None:
    times = [1.0, 2.0, 3.0, 4.0, 5.0]

    found = search_time(search_of(), probes_of(*times), 4, ONE)

    spread = math.sqrt(2.5) * math.sqrt(16 * 20**2 + 320**2 / 5)
    assert found.at_most_s == pytest.approx(320 * 3 + 2.776 * spread)
    assert found.at_least_s == pytest.approx(320)  # none is quicker than the quickest
    assert found.how == (
        "interval that holds about 9 times in 10, from some steps of 5 trials taken by chance: 1 "
        "to 5 s an epoch on one worker"
    )


def test_where_few_trials_get_most_epochs_the_interval_is_wider() -> None:
    times, scheduler = probes_of(2.9, 3.0, 3.1, 3.0), {"name": "sha", "reduction_factor": 4}
    some = search_time(search_of(scheduler=scheduler), times, 4, ONE)
    all_ = search_time(search_of(), times, 4, ONE)
    assert some.at_most_s and some.at_least_s and all_.at_most_s and all_.at_least_s  # noqa: PT018

    assert some.at_most_s / some.at_least_s > all_.at_most_s / all_.at_least_s


def test_of_few_trials_the_quickest_and_the_slowest_are_the_ends() -> None:
    found = search_time(search_of(), probes_of(1.0, 3.0), 4, ONE)

    assert (found.at_least_s, found.at_most_s) == (320.0, 960.0)
    assert found.how.startswith("shortest to longest, from some steps of 2 trials")


def test_a_budget_of_time_is_the_most() -> None:
    settings = search_of(budget={"wall_s": 100.0})

    found = search_time(settings, probes_of(*[0.1, 10.0] * 4), 4, ONE)

    assert found.at_most_s == 100.0


def test_a_budget_of_gpu_hours_is_the_most_that_their_gpus_have() -> None:
    settings = search_of(budget={"gpu_hours": 0.5})

    found = search_time(settings, probes_of(*[100.0] * 8), 4, Placement(4, 1.0, 0.5))

    assert found.at_most_s == 0.5 * 3600 / (4 * 0.5)


TIMES: dict[str, Callable[[np.random.Generator], Any]] = {
    "alike": lambda chance: chance.normal(1.0, 0.2, 64).clip(0.1),
    "uniform": lambda chance: chance.uniform(1.0, 3.0, 64),
    "of two kinds": lambda chance: chance.choice([1.0, 10.0], 64),
    "skewed": lambda chance: chance.lognormal(0.0, 0.6, 64),
    "very skewed": lambda chance: chance.lognormal(0.0, 1.0, 64),
}


def test_about_nine_in_ten_intervals_hold_the_time_of_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(7)
    settings = search_of(num_trials=64)
    epochs = search_estimate.epochs_of_settings(settings, 4)
    monkeypatch.setattr(search_estimate, "epochs_of_settings", lambda *_: epochs)
    held: dict[str, list[bool]] = {kind: [] for kind in TIMES}
    for kind, draw in TIMES.items():
        for _ in range(200):
            times = draw(chance)
            found = search_time(settings, probes_of(*times[:8].tolist()), 4, ONE)
            assert found.at_least_s is not None
            assert found.at_most_s is not None
            held[kind].append(found.at_least_s <= 20 * times.sum() <= found.at_most_s)

    shares = {kind: np.mean(of_kind) for kind, of_kind in held.items()}
    assert np.mean(list(shares.values())) == pytest.approx(0.92, abs=0.03)
    assert min(shares.values()) > 0.8


def test_trials_that_fail_when_tried_are_told() -> None:
    found = search_time(search_of(), probes_of(1.0, None), 4, ONE)

    assert found.at_most_s == 320.0
    assert found.how.endswith("1 of 2 trials that were tried failed, of ValueError: no")


def test_where_all_fail_the_time_is_open() -> None:
    found = search_time(search_of(), probes_of(None, None), 4, ONE)

    assert (found.at_least_s, found.at_most_s) == (None, None)


def test_trials_of_the_search_itself_are_timed(dataset: PreparedDataset) -> None:
    probes = probe_trials(search_of(), dataset, has_gpu=False)

    assert len(probes) == 8
    assert len({probe.config["train.optimizer.lr"] for probe in probes}) == 8
    assert all(probe.epoch_s and probe.error is None for probe in probes)


def test_settings_of_an_earlier_search_are_among_those_that_are_timed(
    dataset: PreparedDataset,
) -> None:
    earlier = Earlier("digits/1", [{"train.optimizer.lr": 0.0123}], [], [])
    settings = search_of(num_trials=4, start_from={"search": "digits/1"})

    probes = probe_trials(settings, dataset, earlier, has_gpu=False)

    assert 0.0123 in [probe.config["train.optimizer.lr"] for probe in probes]


def test_those_of_a_grid_are_from_all_over_it(dataset: PreparedDataset) -> None:
    space = {"seed": {"grid": list(range(8))}, "model.hidden": {"grid": [[4], [8], [16], [32]]}}

    probes = probe_trials(search_of(None, search_alg="grid", space=space), dataset, has_gpu=False)

    assert len({probe.config["seed"] for probe in probes}) > 2


def test_a_setting_that_fails_does_not_end_the_estimate(dataset: PreparedDataset) -> None:
    space = {"model.args.width": {"grid": [16, -1]}}
    settings = settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "label", "task": "classification"},
            "model": {"target": "tests.user_models:Narrow", "args": {"width": 16}},
            "train": {"epochs": 2, "global_batch_size": 32},
            "tune": {"space": space, "search_alg": "grid"},
        }
    )

    good, bad = probe_trials(settings, dataset, has_gpu=False)

    assert (good.error, bad.epoch_s) == (None, None)
    assert bad.error is not None
    assert "-1 is no width" in bad.error


def test_the_estimate_says_how_its_interval_was_got(dataset: PreparedDataset) -> None:
    placement = Placement(4, 1.0, 0.0, group_size=2)

    found = estimate_of_search(search_of(space=WIDTHS), TRIAL, placement, dataset)
    told = estimate_table(found).__rich__().plain

    assert (found.num_concurrent, found.workers_per_trial) == (2, 2)
    assert "16, 2 at a time, each of 2 workers" in told
    assert "interval that holds about 9 times in 10, from some steps of 4 trials" in told
    fields = found.to_json()
    assert [len(fields["probes"]), fields["how"]] == [4, found.how]
    assert set(fields["probes"][0]) == {"trial", "config", "epoch_s", "error"}


def test_the_cost_is_that_of_all_gpus_for_the_time(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_estimate, "is_gpu_here", lambda: True)
    monkeypatch.setattr(search_estimate, "probe_trials", lambda *_, **__: probes_of(*[900.0] * 8))
    search = search_of(num_trials=4)
    priced = search.model_copy(
        update={"cluster": search.cluster.model_copy(update={"price_per_gpu_hour": 2.0})}
    )

    found = estimate_of_search(priced, TRIAL, Placement(4, 1.0, 0.5, group_size=2), dataset)
    of_cpus = estimate_of_search(priced, TRIAL, Placement(4, 1.0, 0.0, group_size=2), dataset)
    unpriced = estimate_of_search(search, TRIAL, Placement(4, 1.0, 0.5, group_size=2), dataset)

    # 4 trials of 20 epochs of 900 s on half a GPU, however many run at a time.
    assert found.cost_at_least == found.cost_at_most == pytest.approx(4 * 20 * 0.25 * 0.5 * 2)
    assert "20.00 for the GPUs" in estimate_table(found).__rich__().plain
    assert [of_cpus.cost_at_most, unpriced.cost_at_most] == [None, None]


def test_on_a_cluster_that_nobody_has_looked_at_one_trial_runs_at_a_time(
    dataset: PreparedDataset,
) -> None:
    found = estimate_of_search(search_of(), TRIAL, Placement(ANY_NUMBER, 1.0, 0.0), dataset)

    assert found.num_concurrent is None
    assert found.how.endswith("as if one trial ran at a time")

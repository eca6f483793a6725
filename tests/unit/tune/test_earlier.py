"""What a search takes over from an earlier one."""

import json
from pathlib import Path
from typing import Any

import pytest

from distrain.config.digest import dump_yaml
from distrain.config.load import settings_from_dict
from distrain.config.settings import Settings
from distrain.errors import ConfigError
from distrain.run_folder import CONFIG, JOURNAL
from distrain.tune.earlier import Earlier, check_earlier, opened_earlier, read_earlier
from distrain.tune.events import read_events, writing_events
from distrain.tune.samplers import build_sampler
from distrain.tune.space import Space

LR = "train.optimizer.lr"
HIDDEN = "model.hidden"
DROPOUT = "model.dropout"
SPACE = {LR: {"loguniform": [1e-4, 1e-1]}, HIDDEN: {"choice": [[8], [32]]}}
RUN = "20261129T193230-5872f0"
# Assignment and final loss of each trial; None: it was stopped after its first report.
TRIALS: list[tuple[dict[str, Any], float | None]] = [
    ({LR: 0.003, HIDDEN: [8]}, 0.5),
    ({LR: 0.01, HIDDEN: [32]}, 0.2),
    ({LR: 0.05, HIDDEN: [32]}, 0.3),
    ({LR: 0.002, HIDDEN: [8]}, None),
    ({LR: 0.02, HIDDEN: [8]}, float("nan")),
]


def configured(space: Any = None, **tune: Any) -> Settings:
    model = tune.pop("model", {"name": "mlp", "hidden": [8]})
    return settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "model": model,
            "tune": {"space": space or SPACE, "search_alg": "tpe", **tune},
        }
    )


def write_search(storage: Path, settings: Settings | None = None) -> Path:
    run_dir = storage / "digits" / RUN
    run_dir.mkdir(parents=True)
    (run_dir / CONFIG).write_text(dump_yaml(settings or configured()))
    with writing_events(run_dir / JOURNAL, lambda: True) as log:
        log.add("began")
        for trial, (assignment, final) in enumerate(TRIALS):
            log.add("suggested", trial=trial, assignment=assignment, batch=[trial, 1])
            value = {"validation/loss": 0.9 if final is None else final}
            log.add("reported", trial=trial, time=1, epoch=1, step=5, values=value, train_s=0.1)
            metrics = {} if final is None else value
            outcome = "stopped" if final is None else "finished"
            log.add("ended", trial=trial, outcome=outcome, metrics=metrics)
    return run_dir


def taken(storage: Path, **tune: Any) -> Earlier:
    settings = configured(**{"start_from": RUN, **tune})
    with opened_earlier(settings, storage) as found:
        assert found is not None
        return read_earlier(found, settings, Space.of(settings))


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_search(tmp_path)
    return tmp_path


def test_the_best_settings_that_are_whole_come_first_in_their_order(storage: Path) -> None:
    earlier = taken(storage, start_from={"search": RUN, "num_best": 2})

    assert earlier.points == [TRIALS[1][0], TRIALS[2][0]]
    assert earlier.notes[0] == (
        f"of the search digits/{RUN}, the settings of these trials come first: 1, 2"
    )


@pytest.mark.parametrize("name", ["random", "sobol", "tpe", "cmaes"])
def test_they_are_the_trials_after_the_first(storage: Path, name: str) -> None:
    settings = configured(start_from=RUN, search_alg=name)
    earlier = taken(storage, search_alg=name)

    asked = build_sampler(settings, Space.of(settings), earlier).ask(0, 4, [])

    assert asked[1:4] == [TRIALS[1][0], TRIALS[2][0], TRIALS[0][0]]


def test_a_grid_begins_with_them(storage: Path) -> None:
    space = {LR: {"grid": [0.003, 0.05, 0.01]}, HIDDEN: {"grid": [[8], [32]]}}
    settings = configured(space, start_from=RUN, search_alg="grid")
    earlier = read_earlier(storage / "digits" / RUN, settings, Space.of(settings))

    asked = build_sampler(settings, Space.of(settings), earlier).ask(0, 6, [])

    assert asked[:3] == [TRIALS[1][0], TRIALS[2][0], TRIALS[0][0]]
    assert len(asked) == 6


def test_settings_outside_the_new_space_are_told_and_left(storage: Path) -> None:
    space = {LR: {"loguniform": [1e-4, 0.02]}, HIDDEN: {"choice": [[8], [64]]}}

    earlier = taken(storage, space=space)

    assert earlier.points == [TRIALS[0][0]]
    assert earlier.notes[1] == (
        "better ones do not fit: trial 1 (model.hidden = [32] is not in the space), "
        "trial 2 (train.optimizer.lr = 0.05 is not in the space)"
    )


def test_what_does_not_vary_any_more_has_to_be_as_it_was(storage: Path) -> None:
    earlier = taken(storage, space={LR: SPACE[LR]})

    assert [point[LR] for point in earlier.points] == [0.003]
    assert "model.hidden = [32] does not vary any more" in earlier.notes[1]


def test_what_did_not_vary_before_has_the_value_that_it_had(storage: Path) -> None:
    earlier = taken(storage, space={**SPACE, DROPOUT: {"uniform": [0, 0.5]}}, num_trials=4)

    assert {point[DROPOUT] for point in earlier.points} == {0.0}


def test_a_constraint_excludes_settings(storage: Path) -> None:
    earlier = taken(storage, constraints=["train.optimizer.lr < 0.01"])

    assert earlier.points == [TRIALS[0][0]]
    assert "a constraint excludes it" in earlier.notes[1]


def test_results_that_fit_are_told_with_numbers_below_those_of_the_search(storage: Path) -> None:
    earlier = taken(storage)

    assert [(one.trial, one.final, one.state) for one in earlier.results[:4]] == [
        (-5, 0.5, "finished"),
        (-4, 0.2, "finished"),
        (-3, 0.3, "finished"),
        (-2, None, "stopped"),
    ]
    assert earlier.notes[-1] == "5 of its results are told to tpe"


def test_of_another_metric_only_the_points_are_taken(storage: Path) -> None:
    earlier = taken(storage, metric="validation/accuracy")

    assert earlier.points[0] == TRIALS[1][0]
    assert earlier.results == []
    assert earlier.notes[-1] == (
        "its results are not told to tpe: they are validation/loss (min), and the new search looks "
        "for validation/accuracy (max)"
    )


def test_a_sampler_that_looks_at_no_results_is_told_none(storage: Path) -> None:
    assert taken(storage, search_alg="random").results == []


def test_where_times_mean_something_else_only_whole_results_are_told(storage: Path) -> None:
    settings = settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "train": {"steps": 100},
            "evaluate": {"every_steps": 10},
            "tune": {
                "space": SPACE,
                "search_alg": "tpe",
                "scheduler": {"name": "asha", "time_attr": "step", "grace_period": 10},
                "start_from": RUN,
            },
        }
    )

    earlier = read_earlier(storage / "digits" / RUN, settings, Space.of(settings))

    assert {one.state for one in earlier.results} == {"finished"}


def test_a_search_without_a_scheduler_counts_time_as_its_training_does(storage: Path) -> None:
    settings = settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "train": {"steps": 100},
            "tune": {"space": SPACE, "search_alg": "tpe", "start_from": RUN},
        }
    )

    earlier = read_earlier(storage / "digits" / RUN, settings, Space.of(settings))

    assert {one.state for one in earlier.results} == {"finished"}


def many(count: int) -> Earlier:
    """Return results of a bowl around a rate of 0.01, at the log-scale."""
    results = []
    for number in range(count):
        rate = 10 ** (-4 + 3 * (number + 0.5) / count)
        loss = (number / count - 2 / 3) ** 2
        results.append([{LR: rate, HIDDEN: [8]}, [[1, loss]], loss, "finished"])
    return Earlier.of_event({"search": "a/b", "points": [], "results": results})


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_a_sampler_proposes_near_what_was_good_earlier(name: str) -> None:
    settings = configured(search_alg=name)
    space = Space.of(settings)

    def rates(earlier: Earlier | None) -> list[float]:
        sampler = build_sampler(settings, space, earlier)
        return [sampler.ask(number, 1, [])[0][LR] for number in range(1, 41)]

    def num_near(found: list[float]) -> int:
        return sum(0.004 < rate < 0.025 for rate in found)

    assert num_near(rates(many(40))) >= 24
    assert num_near(rates(None)) <= 16


def test_the_event_alone_gives_the_same_proposals(storage: Path) -> None:
    earlier, settings = taken(storage, search_alg="cmaes"), configured(search_alg="cmaes")
    folder = storage / "new"
    with writing_events(folder, lambda: True) as log:
        earlier.log(log)

    [event] = read_events(folder)
    again = Earlier.of_event(event)

    space = Space.of(settings)
    asked = [build_sampler(settings, space, one).ask(0, 8, []) for one in (earlier, again)]
    assert asked[0] == asked[1]
    assert json.dumps(again.points) == json.dumps(earlier.points)


def test_a_name_below_storage_and_the_folder_both_lead_to_it(storage: Path) -> None:
    run_dir = storage / "digits" / RUN

    for asked in (RUN, f"digits/{RUN}", str(run_dir)):
        with opened_earlier(configured(start_from=asked), storage) as found:
            assert found == run_dir


def test_a_search_that_is_not_there_is_told_with_the_key(storage: Path) -> None:
    with pytest.raises(ConfigError, match=r"tune.start_from: there is no run '2026-x'"):
        check_earlier(configured(start_from="2026-x"), storage)


def test_a_run_that_is_no_search_is_refused(tmp_path: Path) -> None:
    run_dir = tmp_path / "digits" / "one"
    run_dir.mkdir(parents=True)
    (run_dir / CONFIG).write_text(dump_yaml(configured()))

    with pytest.raises(ConfigError, match=r"tune.start_from: one is no search that has begun"):
        check_earlier(configured(start_from="one"), tmp_path)


def test_of_an_earlier_search_with_several_seeds_the_means_are_taken(tmp_path: Path) -> None:
    run_dir = tmp_path / "digits" / RUN
    run_dir.mkdir(parents=True)
    (run_dir / CONFIG).write_text(dump_yaml(configured(num_seeds=2, num_trials=4)))
    with writing_events(run_dir / JOURNAL, lambda: True) as log:
        for trial, final in enumerate((0.1, 0.9, 0.4, 0.4)):
            assignment = {LR: 0.01 * (1 + trial // 2), HIDDEN: [8], "seed": trial % 2}
            metrics = {"validation/loss": final}
            log.add("suggested", trial=trial, assignment=assignment)
            log.add("reported", trial=trial, time=1, values=metrics)
            log.add("ended", trial=trial, outcome="finished", metrics=metrics)

    earlier = taken(tmp_path)

    assert [point[LR] for point in earlier.points] == [0.02, 0.01]
    assert [one.final for one in earlier.results] == [0.5, 0.4]
    assert "the settings of these trials come first: 2, 0" in earlier.notes[0]

"""Samplers: what every one of them promises, and what each is for."""

import math
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distrain.config.domains import key_of
from distrain.config.load import settings_from_dict
from distrain.tune.samplers import Told, build_sampler
from distrain.tune.space import Space

LR = "train.optimizer.lr"
DECAY = "train.optimizer.weight_decay"
SPACE = {
    LR: {"loguniform": [1e-4, 1e-1]},
    DECAY: {"uniform": [0, 0.1]},
    "model.hidden": {"choice": [[128], [256, 256]]},
    "model.dropout": {"uniform": [0, 0.5], "when": {"model.hidden": [[128]]}},
    "train.global_batch_size": {"quniform": [64, 512, 64]},
    "train.early_stopping.patience": {"lograndint": [1, 50]},
}
PROPOSING = ("random", "sobol", "tpe", "cmaes")


def search(name, space=None, **tune):
    configuration = settings_from_dict(
        {
            "data": {"source": "a.csv", "target": "y"},
            "seed": tune.pop("seed", 0),
            "tune": {"space": space or SPACE, "search_alg": name, **tune},
        }
    )
    return build_sampler(configuration, Space.of(configuration))


def loss(assignment):
    far = math.log10(assignment.get(LR, 1e-3)) + 2
    return far**2 + 10 * assignment.get(DECAY, 0) + assignment.get("model.dropout", 0.5)


def told(trial, assignment, state="finished", sign=1):
    value = sign * loss(assignment)
    values = [(1, value + 0.5 * sign), (2, value)]
    if state == "running":
        return Told(trial, assignment, (), None, state)
    return Told(trial, assignment, values, value if state == "finished" else None, state)


def run(sampler, count, states=("finished",), sign=1):
    history = []
    for number in range(count):
        [assignment] = sampler.ask(number, 1, history)
        history.append(told(number, assignment, states[number % len(states)], sign))
    return history


@pytest.mark.parametrize("name", PROPOSING)
def test_the_first_trial_is_as_written_and_then_come_the_given_points(name):
    start_from = [{LR: 0.05}, {DECAY: 0.1, LR: 0.002}]

    trials = search(name, start_from=start_from).ask(0, 4, [])

    assert trials[0] == {
        LR: 1e-3,
        DECAY: 0.01,
        "model.hidden": [256, 256],
        "train.global_batch_size": 256,
        "train.early_stopping.patience": 5,
    }
    assert trials[1:3] == start_from
    assert set(trials[3]) - {"model.dropout"} == set(SPACE) - {"model.dropout"}


@pytest.mark.parametrize("name", PROPOSING)
def test_a_new_sampler_proposes_what_the_old_one_would(name):
    history = run(search(name), 30, ("finished", "stopped", "running", "failed", "finished"))
    used = search(name)
    used.ask(5, 2, history[:5])

    assert search(name).ask(30, 3, history) == used.ask(30, 3, history)


@pytest.mark.parametrize("name", PROPOSING)
def test_a_batch_is_what_single_trials_would_be_beside_each_other(name):
    sampler, history = search(name), run(search(name), 20)
    batch = sampler.ask(20, 4, history)

    for number in range(20, 24):
        [one] = sampler.ask(number, 1, history)
        assert one == batch[number - 20]
        history.append(told(number, one, "running"))


@pytest.mark.parametrize("name", PROPOSING)
def test_a_sampler_that_is_asked_again_for_earlier_trials_proposes_as_a_new_one(name):
    space = {"model.hidden": {"choice": [[8], [16]]}, "model.dropout": {"quniform": [0, 0.5, 0.25]}}
    used = search(name, space)
    trials = [told(number, one) for number, one in enumerate(used.ask(0, 5, []))]

    for number in (5, 2, 4):
        new = search(name, space)
        assert used.ask(number, 6, trials[:number]) == new.ask(number, 6, trials[:number])


def test_what_a_trial_costs_does_not_grow_with_those_before_it():
    class Counted(list):
        num_looks = 0

        def __getitem__(self, which):
            found = super().__getitem__(which)
            Counted.num_looks += len(found) if isinstance(which, slice) else 1
            return found

    sampler, history = search("random"), Counted()
    for number in range(300):
        [assignment] = sampler.ask(number, 1, history)
        history.append(told(number, assignment))

    assert Counted.num_looks <= 2 * 300


@pytest.mark.parametrize("name", PROPOSING)
def test_another_seed_proposes_others(name):
    assert search(name).ask(1, 3, []) != search(name, seed=1).ask(1, 3, [])


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_looks_at_results_finds_better_trials_than_chance(name, sign):
    metric = {"metric": "validation/loss" if sign == 1 else "validation/accuracy"}
    found = run(search(name, **metric), 60, sign=sign)[-20:]
    drawn = run(search("random"), 60)[-20:]

    assert mean_loss(found) < 0.5 * mean_loss(drawn)


def mean_loss(history):
    return sum(loss(trial.assignment) for trial in history) / len(history)


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_stopped_trials_teach_too(name):
    found = run(search(name), 60, ("finished", "stopped", "stopped", "stopped"))[-20:]

    assert mean_loss(found) < 0.5 * mean_loss(run(search("random"), 60)[-20:])


@pytest.mark.parametrize("name", PROPOSING)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=st.lists(
        st.sampled_from([0.0, 1.0, -3.5, math.nan, math.inf, -math.inf, 1e308]), min_size=16
    ),
    states=st.lists(
        st.sampled_from(["running", "finished", "stopped", "failed"]), min_size=16, max_size=16
    ),
)
def test_no_history_is_too_strange(name, values, states):
    trials = search("random").ask(0, 16, [])
    history = [
        Told(
            number,
            trial,
            [(1, value)] if number % 3 else [],
            value if state == "finished" and number % 3 else None,
            state,
        )
        for number, (trial, value, state) in enumerate(zip(trials, values, states, strict=False))
    ]

    [found] = search(name).ask(16, 1, history)

    assert key_of(found) not in {key_of(trial) for trial in trials}


@pytest.mark.parametrize("name", PROPOSING)
def test_a_running_trial_is_not_proposed_again(name):
    history = [told(0, search(name).ask(0, 1, [])[0])]
    for number in range(1, 12):
        history.append(told(number, search(name).ask(number, 1, history)[0], "running"))

    assert len({key_of(trial.assignment) for trial in history}) == 12


@pytest.mark.parametrize("name", ["random", "sobol", "tpe"])
def test_a_space_with_an_end_is_used_up_and_no_point_comes_twice(name):
    space = {"model.hidden": {"choice": [[1], [2], [256, 256]]}, "seed": {"choice": [0, 1]}}
    sampler = search(name, space)

    first = sampler.ask(0, 4, [])
    history = [told(number, trial) for number, trial in enumerate(first)]
    second = sampler.ask(4, 4, history)

    assert first[0] == {"model.hidden": [256, 256], "seed": 0}
    assert len(second) == 2
    assert len({key_of(trial) for trial in first + second}) == 6
    history += [told(number, trial) for number, trial in enumerate(second, 4)]
    assert sampler.ask(6, 2, history) == []


@pytest.mark.parametrize("name", PROPOSING)
def test_no_trial_breaks_a_constraint(name):
    constraint = "train.global_batch_size <= 128 and train.optimizer.lr > 0.002"

    history = run(search(name, constraints=[constraint]), 15)

    for trial in history:
        assert trial.assignment["train.global_batch_size"] <= 128
        assert trial.assignment[LR] > 0.002


@pytest.mark.parametrize("name", PROPOSING)
def test_no_trial_has_values_that_do_not_fit_together(name):
    space = {
        "train.global_batch_size": {"choice": [64, 66]},
        "train.logical_shards": {"choice": [2, 3, 4]},
        LR: SPACE[LR],
    }

    for trial in run(search(name, space), 15):
        assert trial.assignment["train.global_batch_size"] % trial.assignment[
            "train.logical_shards"
        ] == 0  # fmt: skip


def test_a_grid_has_every_allowed_point_in_order():
    sampler = search(
        "grid",
        {"seed": {"grid": [3, 1]}, "model.dropout": {"choice": [0.1, 0.2]}},
        constraints=["seed == 3 or model.dropout < 0.2"],
        start_from=[{"seed": 1, "model.dropout": 0.1}],
    )

    assert sampler.ask(1, 2, []) == [
        {"seed": 3, "model.dropout": 0.1},
        {"seed": 3, "model.dropout": 0.2},
    ]
    assert sampler.ask(0, 1, []) == [{"seed": 1, "model.dropout": 0.1}]
    assert sampler.ask(0, 9, []) == sampler.ask(0, 3, [])


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_a_grid_among_drawn_values_comes_in_turn(name):
    space = {"seed": {"grid": [1, 2]}, "model.norm": {"grid": [None, "batch"]}, LR: SPACE[LR]}

    trials = search(name, space).ask(0, 6, [])[1:]

    assert [(trial["seed"], trial["model.norm"]) for trial in trials] == [
        (1, None),
        (1, "batch"),
        (2, None),
        (2, "batch"),
        (1, None),
    ]
    assert len({trial[LR] for trial in trials}) == 5


def test_a_sobol_sequence_covers_evenly():
    space = {DECAY: {"uniform": [0, 0.1]}}

    trials = search("sobol", space).ask(0, 17, [])[1:]

    assert sorted(int(trial[DECAY] * 160) for trial in trials) == list(range(16))


def test_cmaes_takes_a_single_number():
    history = run(search("cmaes", {LR: SPACE[LR]}), 40)

    assert mean_loss(history[-10:]) < 0.7


def test_optuna_says_nothing_and_writes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(search("tpe"), 15)

    assert capfd.readouterr() == ("", "")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("values", "final", "state", "expected"),
    [
        ([(1, 2.0), (2, 3.0)], None, "stopped", 3.0),
        ([(1, 2.0)], 1.5, "finished", 1.5),
        ([(1, math.nan)], math.nan, "finished", math.inf),
        ([(1, 2.0)], None, "failed", math.inf),
        ([], None, "stopped", math.inf),
    ],
)
def test_how_bad_a_trial_is(values, final, state, expected):
    assert Told(0, {}, values, final, state).loss(1) == expected
